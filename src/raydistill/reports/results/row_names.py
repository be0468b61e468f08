"""Names of rows: the axes in which the rows of any block differ, and no others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from raydistill.core.units import format_tokens
from raydistill.distillation.loss_name import loss_settings
from raydistill.planning.axes.change import CELL_FIELDS, CHANGE
from raydistill.planning.cell import axis_text, compares_teachers, shortest
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.cells import CANDIDATES, CONTROL, ReportCell, Role
from raydistill.specs.recipe import FIELDS, axis_name, field_named, is_setting
from raydistill.specs.trial import TEACHER_FREE

Naming = Mapping[Role, Sequence[str]]  # by role, the axes that its rows are named by

# Axes that the title of a block shows, or the seeds of a row.
_TITLE_AXES = ("scale", "size", "age", "count", "budget", "equal", "seed")
_REMOVAL_AXES = ("location", "gap", "order")  # without meaning for a control
_LAST = 1_000_000  # sorts behind every arm and location


def naming_axes(blocks: Sequence[Sequence[ReportCell]]) -> Naming:
    """The axes in which cells of one role differ within any one block."""
    by_role: dict[Role, list[str]] = {role: [] for role in get_args(Role)}
    for role, naming in by_role.items():
        for block in blocks:
            values: dict[str, set[str | int | float]] = {}
            for cell in block:
                for axis, value in _axes(cell).items() if _naming_role(cell) == role else ():
                    values.setdefault(axis, set()).add(value)
            naming += [a for a, several in values.items() if len(several) > 1 and a not in naming]
    return by_role


def row_name(cell: ReportCell, naming: Naming) -> str:
    """`middle, gap 100M`; `gap 100M` where all share a location; `none` for a control."""
    if cell.beside:
        return cell.beside
    axes, role = _axes(cell), _naming_role(cell)
    settings = [_setting(axis, axes[axis]) for axis in naming[role] if axis in axes]
    own = cell.arm or cell.location
    if role in CANDIDATES and settings:
        return ", ".join(settings)
    return ", ".join([own, *(setting for setting in settings if setting != own)])


def row_order(cell: ReportCell, naming: Naming, arms: Sequence[str]) -> tuple[object, ...]:
    """A sort key: arms as in `arms`; Table 5's columns, other locations, random sets, the control.

    References and students trained elsewhere come last.
    """
    if cell.beside:
        return _LAST, cell.beside
    axes = _axes(cell)
    values = [
        (isinstance(axes[axis], str), axes[axis])
        for axis in naming[_naming_role(cell)]
        if axis in axes and axis != "arm"
    ]
    return (arms.index(cell.arm), "", *values) if cell.arm else (*_location_order(cell), *values)


def in_common(block: Sequence[ReportCell], naming: Naming) -> tuple[str, ...]:
    """The settings that all candidates of a block share and that no name or title shows."""
    candidates = [cell for cell in block if cell.role in CANDIDATES]
    if not candidates:
        return ()
    first = candidates[0]
    axes = [{"location": cell.location, **cell.values} for cell in candidates]
    named = [axis for role in CANDIDATES for axis in naming[role]]
    shown = (*_TITLE_AXES, *(named or ["arm" if first.arm else "location"]))
    common = [
        _setting(axis, value)
        for axis, value in axes[0].items()
        if axis not in shown and all(others.get(axis) == value for others in axes)
    ]
    if first.gap_tokens and "gap" not in first.values:
        common.append(f"gap {format_tokens(first.gap_tokens)} tokens")
    if first.train.loss != TEACHER_FREE and not {"loss", "arm"} & first.values.keys():
        losses = {cell.train.loss for cell in candidates}
        common.append(
            f"loss {first.train.loss if len(losses) == 1 else loss_settings(first.train.loss)[0]}"
        )
    return (*common, *fixed_settings(candidates))


def fixed_settings(cells: Sequence[ReportCell]) -> Iterator[str]:
    """What else of their recipe cells have in common, where some of it is an axis."""
    if not any(is_setting(axis) for axis in cells[0].values):
        return
    axes = {field_named(axis) for axis in cells[0].values if is_setting(axis)} | {"micro_batches"}
    first, *others = (cell.train.recipe for cell in cells)
    for field in FIELDS:
        value = getattr(first, field)
        if field not in (*axes, "micro_batches") and all(
            getattr(other, field) == value for other in others
        ):
            yield axis_text(axis_name(field), shortest(value))


def _naming_role(cell: ReportCell) -> Role:
    """The role whose axes name a row; rows of a sweep of teachers are all named by the same."""
    return "taught" if compares_teachers(cell.values) and not cell.beside else cell.role


def _axes(cell: ReportCell) -> dict[str, str | int | float]:
    """The axes that may name a row."""
    skipped = list(_TITLE_AXES)
    if cell.arm:
        skipped.append("location")  # an arm may have its own
    elif cell.role not in CANDIDATES:
        skipped += _REMOVAL_AXES
    if CHANGE in cell.values:
        skipped += CELL_FIELDS  # it says which of them is another
    axes = {"location": cell.location, **cell.values}
    return {axis: value for axis, value in axes.items() if axis not in skipped}


def _setting(axis: str, value: str | int | float) -> str:
    """`gap 100M`; a location, an arm and a change need no axis."""
    return str(value) if axis in ("location", "arm", CHANGE) else axis_text(axis, value)


def _location_order(cell: ReportCell) -> tuple[int, str]:
    last = len(paper.LOCATIONS)
    if cell.location in paper.LOCATIONS:
        return paper.LOCATIONS.index(cell.location), ""
    if cell.location == CONTROL:
        return last + 2, ""
    return last + cell.location.startswith("random"), cell.location
