"""The command that would train a cell of a sweep once more, by itself."""

import shlex
from collections.abc import Iterator
from dataclasses import fields

from raydistill.core.errors import RaydistillError
from raydistill.core.units import format_age, format_tokens, parse_tokens
from raydistill.planning.custom_model import CustomModel, scale_of
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord
from raydistill.planning.sweep import FIELDS
from raydistill.specs.locations import NONE, is_list
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import OWN, Recipe, TrialRequest


def command_of(sweep: SweepRecord, asked: CellRequest) -> str:
    """Of the sweep that asked for the cell, with every value named."""
    cell = asked.cell
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
    length = ["--seq-len", str(scale.model.context), "--no-lr-probe"]
    return ["--model", scale.brought, *like, *length]


def _recipe_name(recipe: Recipe) -> str:
    return "paper" if recipe.optimizer == "lion" else "heal"


def _request(asked: TrialRequest) -> Iterator[tuple[str, str]]:
    yield "--age", format_age(asked.age)
    yield "--location", asked.location
    if asked.location != NONE:
        if not is_list(asked.location):
            yield "--count", str(asked.count)
        yield "--gap", _tokens(asked.gap)
        yield "--order", asked.order
    yield "--loss", asked.loss
    if asked.teacher != OWN:
        yield "--teacher", asked.teacher
    if asked.excerpt:
        yield "--teacher-placement", f"cached:{asked.excerpt}"
    yield "--seed", str(asked.seed)


def _recipe(scale: Scale, asked: TrialRequest) -> Iterator[tuple[str, str]]:
    """What the flags changed of the scale."""
    usual = _usual(scale)
    yield "--budget", _tokens(scale.budget)
    for flag in ("corpus", "text_field", "heldout", "heldout_general"):
        if (text := getattr(scale, flag)) != getattr(usual, flag):
            yield f"--{flag.replace('_', '-')}", text
    changed = {
        field.name: getattr(scale.heal, field.name)
        for field in fields(Recipe)
        if getattr(scale.heal, field.name) != getattr(usual.heal, field.name)
    }
    if not isinstance(asked.peak_lr, str):
        changed["peak_lr"] = asked.peak_lr
    for name, value in changed.items():
        yield "--set", f"{name}={value}"


def _usual(scale: Scale) -> Scale:
    """The scale without flags; of a model that is no longer there, as it was with them."""
    if not scale.brought or scale.like:
        return load_scale(scale.like or scale.name)
    bring = CustomModel(
        name=scale.brought,
        revisions=tuple(map(str, scale.ages)),
        seq_len=scale.model.context,
        recipe=_recipe_name(scale.heal),
        budget=scale.budget,
    )
    try:
        return scale_of(bring, None)
    except RaydistillError:
        return scale


def _tokens(tokens: int) -> str:
    """`20B` where that is exact, else every digit."""
    said = format_tokens(tokens)
    return said if parse_tokens(said) == tokens else str(tokens)
