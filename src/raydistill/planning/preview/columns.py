"""The columns of a plan's table: what a cell requests, by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from raydistill.core.units import format_tokens
from raydistill.distillation.loss_name import loss_file
from raydistill.planning.axes.change import CELL_FIELDS, CHANGE, POINT, field_of
from raydistill.planning.cell import (
    SIZE,
    START,
    TEACHER,
    Cell,
    Value,
    axis_text,
    compares_teachers,
    shortest,
    teacher_label,
)
from raydistill.specs.drop_plan import ORDERS
from raydistill.specs.recipe import field_named, is_setting
from raydistill.specs.trial import OWN, TEACHER_FREE, TrialRequest

_REQUESTED = tuple(
    field.name
    for field in fields(TrialRequest)
    if field.name not in ("location", "peak_lr", "settings")
)
_OF_TEACHERS = (SIZE, TEACHER, START)  # by their axis: an anchor is named by its teacher too
_ALWAYS = ("age", "count", "gap")  # columns that are shown even if they do not vary
_USUAL = {"loss": TEACHER_FREE, "teacher": OWN, "order": ORDERS[0]}  # and these where they differ


def column_names(requests: Sequence[Mapping[str, Value]]) -> tuple[str, ...]:
    """The columns of the table: age, count and gap, what varies, and what a flag gave all."""
    names = dict.fromkeys(name for request in requests for name in request)
    return tuple(
        name
        for name in names
        if name in _ALWAYS
        or len(values := {request.get(name, "") for request in requests}) > 1
        or (name in _USUAL and values != {_USUAL[name]})
    )


def cell_fields(cell: Cell) -> dict[str, Value]:
    """What a cell requests, by name; settings of its recipe and its loss that are axes apart.

    Of an ablation's cell its change says what is its own.
    """
    request, settings = cell.request, loss_file(cell.request.loss).settings
    if CHANGE in cell.values:
        common = (name for name in _REQUESTED if name not in CELL_FIELDS or name in _ALWAYS)
        return {CHANGE: cell.values[CHANGE], **{name: getattr(request, name) for name in common}}
    of_loss = {name: value for name, value in cell.values.items() if name in settings}
    if compares_teachers(cell.values):
        named = {name: cell.values[name] for name in _OF_TEACHERS if name in cell.values}
    else:
        named = teacher_label({TEACHER: request.teacher}, cell.scale)
    return {
        **({SIZE: ""} if SIZE in named else {}),  # the first column
        **{name: getattr(request, name) for name in _REQUESTED},
        **named,
        **({"loss": cell.values.get("loss", request.loss.partition("+")[0])} if of_loss else {}),
        "lr": request.peak_lr,
        **{name: shortest(value) for name, value in request.settings},
        **of_loss,
    }


def changes_text(cells: Sequence[Cell]) -> Iterator[str]:
    """Of an ablation the point, and what each change makes of which value."""
    first = {str(cell.values[CHANGE]): cell for cell in reversed(cells) if CHANGE in cell.values}
    if not (point := first.pop(POINT, None)):
        return
    fixed = ", ".join(axis_text(name, getattr(point.request, name)) for name in CELL_FIELDS)
    changes = (
        f"{change}: {_run_with(point, change)} → {_run_with(cell, change)}"
        for change, cell in reversed(first.items())
    )
    yield f"around {fixed}; {'; '.join(changes)}" if first else f"around {fixed}"


def _run_with(cell: Cell, change: str) -> str:
    """The value that a cell has of the field that a change sets."""
    name = field_of(change)
    if not is_setting(name):
        return str(axis_text("", getattr(cell.request, name))).strip()
    value = getattr(cell.scale.recipe(cell.request), field_named(name))
    return format_tokens(value) if name.endswith("_tokens") else str(shortest(value))
