"""The command that trains one cell of a sweep again."""

import shlex
from collections.abc import Iterator
from dataclasses import fields

from raydistill.core.errors import RaydistillError
from raydistill.core.units import format_age, format_tokens, parse_tokens
from raydistill.planning.custom_model import CustomModel, scale_of, usual_max_length
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord
from raydistill.planning.sweep import FIELDS
from raydistill.specs.locations import NONE, is_list
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import OWN, Recipe, TrialRequest


def command_of(sweep: SweepRecord, cell_request: CellRequest) -> str:
    """The command of the sweep for this cell alone, with every value named."""
    cell = cell_request.cell
    axes = [(f"--{axis}", str(v)) for axis, v in cell.values.items() if axis not in FIELDS]
    words = [
        *("python", f"sweeps/{sweep.name}.py"),
        *_model(sweep, cell.scale),
        *(word for pair in (*axes, *_request(cell.request)) for word in pair),
        *(["--allow-ends"] if cell.request.allow_ends else []),
        *(word for pair in _recipe(cell.scale, cell.request) for word in pair),
    ]
    return shlex.join(words)


def _model(sweep: SweepRecord, scale: Scale) -> list[str]:
    if not scale.brought:
        return ["--scale", sweep.scale]
    like = ["--scale", scale.like] if scale.like else ["--recipe", _recipe_name(scale.heal)]
    length = ["--seq-len", str(scale.model.context), *_max_length(scale), "--no-lr-probe"]
    return ["--model", scale.brought, *like, *length]


def _max_length(scale: Scale) -> list[str]:
    """The flag for what is read of tasks, where that is not what the model is usually given."""
    tokens = scale.evaluation.tokens_read(scale.model)
    return [] if tokens == usual_max_length(scale.model) else ["--max-length", str(tokens)]


def _recipe_name(recipe: Recipe) -> str:
    return "paper" if recipe.optimizer == "lion" else "heal"


def _request(request: TrialRequest) -> Iterator[tuple[str, str]]:
    yield "--age", format_age(request.age)
    yield "--location", request.location
    if request.location != NONE:
        if not is_list(request.location):
            yield "--count", str(request.count)
        yield "--gap", _tokens(request.gap)
        yield "--order", request.order
    yield "--loss", request.loss
    if request.teacher != OWN:
        yield "--teacher", request.teacher
    if request.excerpt:
        yield "--teacher-placement", f"cached:{request.excerpt}"
    yield "--seed", str(request.seed)


def _recipe(scale: Scale, request: TrialRequest) -> Iterator[tuple[str, str]]:
    """The flags for what differs from the scale's defaults."""
    default = _without_flags(scale)
    yield "--budget", _tokens(scale.budget)
    for flag in ("corpus", "text_field", "heldout", "heldout_general"):
        if (text := getattr(scale, flag)) != getattr(default, flag):
            yield f"--{flag.replace('_', '-')}", text
    settings = {
        field.name: getattr(scale.heal, field.name)
        for field in fields(Recipe)
        if getattr(scale.heal, field.name) != getattr(default.heal, field.name)
    }
    if not isinstance(request.peak_lr, str):
        settings["peak_lr"] = request.peak_lr
    for name, value in settings.items():
        yield "--set", f"{name}={value}"


def _without_flags(scale: Scale) -> Scale:
    """The scale with its defaults; with its flags if its model can no longer be read."""
    if not scale.brought or scale.like:
        return load_scale(scale.like or scale.name)
    custom = CustomModel(
        name=scale.brought,
        revisions=tuple(map(str, scale.ages)),
        seq_len=scale.model.context,
        recipe=_recipe_name(scale.heal),
        budget=scale.budget,
    )
    try:
        return scale_of(custom, None)
    except RaydistillError:
        return scale


def _tokens(tokens: int) -> str:
    """`20B` where that is exact, else every digit."""
    text = format_tokens(tokens)
    return text if parse_tokens(text) == tokens else str(tokens)
