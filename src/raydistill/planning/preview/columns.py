"""The columns of a plan's table: what a cell requests, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from raydistill.distillation.loss_name import loss_file
from raydistill.planning.axes.change import CELL_FIELDS, CHANGE
from raydistill.planning.cell import TEACHER, Cell, Value, shortest, teacher_label
from raydistill.specs.trial import TrialRequest

_REQUESTED = tuple(
    field.name
    for field in fields(TrialRequest)
    if field.name not in ("location", "peak_lr", "settings")
)
_ALWAYS = ("age", "count", "gap")  # columns that are shown even if they do not vary


def column_names(requests: Sequence[Mapping[str, Value]]) -> tuple[str, ...]:
    """The columns of the table: always age, count and gap, and every other field that varies."""
    names = dict.fromkeys(name for request in requests for name in request)
    return tuple(
        name
        for name in names
        if name in _ALWAYS or len({request.get(name, "") for request in requests}) > 1
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
    return {
        **{name: getattr(request, name) for name in _REQUESTED},
        **teacher_label({TEACHER: request.teacher}, cell.scale),
        **({"loss": cell.values.get("loss", request.loss.partition("+")[0])} if of_loss else {}),
        "lr": request.peak_lr,
        **{name: shortest(value) for name, value in request.settings},
        **of_loss,
    }
