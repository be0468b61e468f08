"""What a row is called: the axes in which the rows of any block differ, and no others."""

from collections.abc import Mapping, Sequence

from raydistill.core.units import format_tokens
from raydistill.planning.cell import axis_text
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.cells import CONTROL, ReportCell, Role
from raydistill.specs.trial import TEACHER_FREE

Naming = Mapping[Role, Sequence[str]]
"""By role, the axes that its rows are named by."""

_OF_THE_BLOCK = ("scale", "size", "age", "count", "budget", "equal", "seed")
"""Axes that the title of a block says, or the seeds of a row."""

_LAST = 1_000_000

_NOTHING_LEAVES = ("location", "gap", "order")
"""Axes that mean nothing for a control."""


def naming_axes(blocks: Sequence[Sequence[ReportCell]]) -> Naming:
    """The axes in which cells of one role differ within any one block."""
    found: dict[Role, list[str]] = {"candidate": [], "control": [], "reference": []}
    for role, naming in found.items():
        for block in blocks:
            values: dict[str, set[str | int | float]] = {}
            for cell in block:
                for axis, value in _axes(cell).items() if cell.role == role else ():
                    values.setdefault(axis, set()).add(value)
            naming += [a for a, several in values.items() if len(several) > 1 and a not in naming]
    return found


def row_name(cell: ReportCell, naming: Naming) -> str:
    """`middle, gap 100M`; `gap 100M` where all share a location; `none` for a control."""
    if cell.beside:
        return cell.beside
    axes = _axes(cell)
    said = [_said(axis, axes[axis]) for axis in naming[cell.role] if axis in axes]
    own = cell.arm or cell.location
    if cell.role == "candidate" and said:
        return ", ".join(said)
    return ", ".join([own, *(each for each in said if each != own)])


def row_place(cell: ReportCell, naming: Naming, arms: Sequence[str]) -> tuple[object, ...]:
    """Sorts rows: arms as asked; Table 5's columns, other locations, random sets, the control.

    References and what was added stand last.
    """
    if cell.beside:
        return _LAST, cell.beside
    axes = _axes(cell)
    values = [
        (isinstance(axes[axis], str), axes[axis])
        for axis in naming[cell.role]
        if axis in axes and axis != "arm"
    ]
    return (arms.index(cell.arm), "", *values) if cell.arm else (*_location_place(cell), *values)


def in_common(block: Sequence[ReportCell], naming: Naming) -> tuple[str, ...]:
    """What all candidates of a block were asked that neither their names nor the block's say."""
    candidates = [cell for cell in block if cell.role == "candidate"]
    if not candidates:
        return ()
    first = candidates[0]
    asked = [{"location": cell.location, **cell.values} for cell in candidates]
    named = (*_OF_THE_BLOCK, *(naming["candidate"] or ["arm" if first.arm else "location"]))
    said = [
        _said(axis, value)
        for axis, value in asked[0].items()
        if axis not in named and all(axes.get(axis) == value for axes in asked)
    ]
    if first.gap_tokens and "gap" not in first.values:
        said.append(f"gap {format_tokens(first.gap_tokens)} tokens")
    if first.train.loss != TEACHER_FREE and not {"loss", "arm"} & first.values.keys():
        said.append(f"loss {first.train.loss}")
    return tuple(said)


def _axes(cell: ReportCell) -> dict[str, str | int | float]:
    """The axes that may name a row."""
    without = list(_OF_THE_BLOCK)
    if cell.arm:
        without.append("location")  # an arm may have its own
    elif cell.role != "candidate":
        without += _NOTHING_LEAVES
    axes = {"location": cell.location, **cell.values}
    return {axis: value for axis, value in axes.items() if axis not in without}


def _said(axis: str, value: str | int | float) -> str:
    """`gap 100M`; a location and an arm speak for themselves."""
    if axis in ("location", "arm"):
        return str(value)
    return axis_text(axis, value)


def _location_place(cell: ReportCell) -> tuple[int, str]:
    last = len(paper.LOCATIONS)
    if cell.location in paper.LOCATIONS:
        return paper.LOCATIONS.index(cell.location), ""
    if cell.location == CONTROL:
        return last + 2, ""
    return last + cell.location.startswith("random"), cell.location
