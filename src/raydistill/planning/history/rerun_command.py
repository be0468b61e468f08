"""The commands that ran a sweep, and that train one cell of it again."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from raydistill.core.errors import RaydistillError
from raydistill.core.text.commands import sweep_command
from raydistill.core.text.redaction import redact
from raydistill.core.units import exact_tokens
from raydistill.planning.axes.change import CHANGE
from raydistill.planning.cell import TEACHER, Cell, Value
from raydistill.planning.custom_model import CustomModel, scale_of
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord
from raydistill.planning.lr_probe import needs_probe
from raydistill.specs.locations import NONE, is_list
from raydistill.specs.recipe import is_setting
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import OWN, Recipe, TrialRequest
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store

COMMAND_FILE = "command.txt"  # in a sweep's folder: the last command that ran it


def keep_command(command: str, store: Store, sweep: str, scale: str) -> None:
    """Keep the command that runs a sweep, without secrets."""
    write_text(store.path("sweeps", sweep, scale, COMMAND_FILE), f"{redact(command)}\n")


def last_command(sweep: SweepRecord, store: Store) -> str:
    """The last command that ran a sweep; of a storage that does not have it, one without flags."""
    if kept := _kept_command(sweep, store):
        return kept
    model = _model(sweep, sweep.cells[0].cell.scale) if sweep.cells else []
    return shlex.join([*sweep_command(sweep.name), *model])


def _kept_command(sweep: SweepRecord, store: Store) -> str:
    path = store.path("sweeps", sweep.name, sweep.scale, COMMAND_FILE)
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _launcher(sweep: SweepRecord, store: Store) -> list[str]:
    """What started the sweep last; of a repository that is not here, what starts it here."""
    words = shlex.split(_kept_command(sweep, store))
    launcher = words[: 3 if words[:1] == ["raydistill"] else 2]
    script = Path(*launcher[-1:])
    is_projects = script.parts[-2:] == ("sweeps", f"{sweep.name}.py")
    if not launcher or (is_projects and not script.is_file()):
        return sweep_command(sweep.name)
    return launcher


def _parts(sweep: SweepRecord, store: Store) -> list[str]:
    """The folder of one's own parts that the sweep was run with, if any."""
    words = shlex.split(_kept_command(sweep, store))
    return words[(at := words.index("--parts")) : at + 2] if "--parts" in words else []


def command_of(sweep: SweepRecord, cell_request: CellRequest, store: Store) -> str:
    """The command of the sweep for this cell alone, with every value named.

    What is measured is not in it: it changes no weights, and needs data that may be elsewhere.
    """
    cell, recipe_flag = cell_request.cell, "--around" if CHANGE in sweep.axes else "--set"
    words = [
        *_launcher(sweep, store),
        *_parts(sweep, store),
        *_model(sweep, cell.scale),
        *(word for pair in _values(sweep, cell) for word in pair),
        *(["--allow-ends"] if cell.request.allow_ends else []),
        *(word for pair in _recipe(cell.scale, cell_request, recipe_flag) for word in pair),
    ]
    return shlex.join(words)


def _model(sweep: SweepRecord, scale: Scale) -> list[str]:
    if not scale.brought:
        return ["--scale", sweep.scale]
    like = ["--scale", scale.like] if scale.like else ["--recipe", _recipe_name(scale.heal)]
    length = ["--seq-len", str(scale.model.context), "--no-lr-probe"]
    models = ["--models", ",".join(scale.models)] if scale.models else ["--model", scale.brought]
    return [*models, *like, *length]


def _recipe_name(recipe: Recipe) -> str:
    return "paper" if recipe.optimizer == "lion" else "heal"


def _values(sweep: SweepRecord, cell: Cell) -> Iterator[tuple[str, str]]:
    """The flags of the axes as they were requested, and of all other fields as they were run."""
    request, tokens = cell.request, _tokens_of(cell.scale)
    axes = {axis: cell.values[axis] for axis in sweep.axes if axis in cell.values}
    more = {name: value for name, value in cell.values.items() if name not in axes}
    if "loss" in axes:
        settings = [f"{name}={value}" for name, value in more.items() if not _is_field(name)]
        axes["loss"] = "+".join([str(axes["loss"]), *settings])
    fields_run: dict[str, Value] = {"age": request.age, "location": request.location}
    if request.location != NONE:
        if not is_list(request.location):
            fields_run["count"] = request.count
        fields_run |= {"gap": request.gap, "order": request.order}
    fields_run |= {"loss": request.loss, "seed": request.seed}
    if request.teacher != OWN:
        fields_run[TEACHER] = axes[TEACHER] = request.teacher  # as an axis, a name for tables
    for name, value in (fields_run | axes).items():
        if name == "age" and isinstance(value, int):
            yield "--age", exact_tokens(value)
        else:
            yield f"--{name}", tokens(int(value)) if name == "gap" else str(value)
    yield from (("--set", f"{name}={more[name]}") for name in more if is_setting(name))
    if request.excerpt:
        yield "--teacher-placement", f"cached:{request.excerpt}"


def _is_field(name: str) -> bool:
    """Whether it names a field of a recipe or a request: else it is a setting of the loss."""
    return is_setting(name) or name in (f.name for f in fields(TrialRequest))


def _tokens_of(scale: Scale) -> Callable[[int], str]:
    """How a flag writes tokens of a scale: a custom model's are its own, whatever its record's."""
    clock = scale.train_clock if scale.brought else 1
    return lambda tokens: exact_tokens(round(tokens / clock))


def _recipe(scale: Scale, cell_request: CellRequest, recipe_flag: str) -> Iterator[tuple[str, str]]:
    """The flags for what differs from the scale's defaults."""
    default = _without_flags(scale)
    yield "--budget", _tokens_of(scale)(scale.budget)
    for flag in ("corpus", "text_field", "text_form", "heldout", "words", "heldout_general"):
        if (text := getattr(scale, flag)) != getattr(default, flag):
            yield f"--{flag.replace('_', '-')}", text
    settings = {
        field.name: getattr(scale.heal, field.name)
        for field in fields(Recipe)
        if getattr(scale.heal, field.name) != getattr(default.heal, field.name)
    }
    if cell_request.remark and needs_probe(cell_request.cell):  # else an axis gave the rate
        settings["peak_lr"] = cell_request.spec.train.recipe.peak_lr
    for name, value in settings.items():
        yield recipe_flag, f"{name}={value}"


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
