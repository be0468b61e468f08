"""Which cells are one row, which rows are compared with each other, and what they are called.

Cells that differ in their data seed alone are one row. Rows of one model size, age, count,
budget and text are one block; the control of that size, age, budget and text joins each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.drops import Runs
from raydistill.outcomes import TrialFailure
from raydistill.report import paper
from raydistill.report.cells import ARMS, CONTROL, Measured, ReportCell, Role
from raydistill.spec import TEACHER_FREE, TrainSpec
from raydistill.units import format_tokens

_OF_THE_BLOCK = ("scale", "size", "age", "count", "budget", "seed")
"""Axes that the title of a block says, or the seeds of a row."""

_NOTHING_LEAVES = ("location", "count", "gap", "order")
"""Axes that mean nothing for a control."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCells:
    """The cells of one row, by data seed, finished or failed; `place` orders rows of a table."""

    name: str
    place: tuple[object, ...]
    cells: tuple[ReportCell, ...]

    @property
    def first(self) -> ReportCell:
        """One of the cells, for what they have in common."""
        return self.cells[0]

    @property
    def role(self) -> Role:
        """What the row is in its block."""
        return self.first.role

    @property
    def runs(self) -> Runs:
        """What was measured, by seed; empty where every seed failed."""
        return {
            cell.train.seed: cell.outcome.documents
            for cell in self.cells
            if isinstance(cell.outcome, Measured)
        }

    @property
    def failures(self) -> Mapping[int, TrialFailure]:
        """The failures, by seed."""
        return {
            cell.train.seed: cell.outcome
            for cell in self.cells
            if isinstance(cell.outcome, TrialFailure)
        }

    @property
    def curve(self) -> Mapping[int, float]:
        """Held-out nats by tokens of training: the mean over seeds, where all have the point."""
        curves = [
            {point.tokens: point.nll for point in cell.outcome.result.trained.heldout_curve}
            for cell in self.cells
            if isinstance(cell.outcome, Measured)
        ]
        shared = set.intersection(*map(set, curves)) if curves else set()
        return {at: sum(curve[at] for curve in curves) / len(curves) for at in sorted(shared)}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowBlock:
    """Rows that are compared with each other, in Table 5's order; at least one.

    `label` is the shortest that tells the blocks of a report apart; `common` what all candidates
    were asked, besides what the label may say.
    """

    label: str
    common: tuple[str, ...]
    rows: tuple[RowCells, ...]

    @property
    def first(self) -> ReportCell:
        """A cell, for what all have in common: a candidate where there is one."""
        return next((row.first for row in self.rows if row.role == "candidate"), self.rows[0].first)

    @property
    def candidates(self) -> tuple[RowCells, ...]:
        """The rows that may be the best."""
        return tuple(row for row in self.rows if row.role == "candidate")

    @property
    def mixed_budgets(self) -> bool:
        """Whether the rows trained on different numbers of tokens: arms may."""
        return len({row.first.train.recipe.budget_tokens for row in self.rows}) > 1


def row_blocks(cells: Iterable[ReportCell]) -> tuple[RowBlock, ...]:
    """All cells of a report in rows and blocks, which stand in the order of their cells."""
    parts = _parts(cells)
    naming = _naming_axes(parts)
    blocks = [
        RowBlock(label="", common=_common(part, naming["candidate"]), rows=_rows(part, naming))
        for part in parts
    ]
    return tuple(
        replace(block, label=label)
        for label, block in zip(_labels([b.first for b in blocks]), blocks, strict=True)
    )


def control_of(row: RowCells, rows: Sequence[RowCells]) -> RowCells | None:
    """The control of a row: the same schedule on the same tokens, teacher-free if there are two.

    The arms of a comparison have one control in common, whatever their schedule.
    """
    controls = [
        other
        for other in rows
        if other.role == "control" and (row.first.arm or _schedule(other) == _schedule(row))
    ]
    return min(controls, key=lambda other: other.first.train.loss != TEACHER_FREE, default=None)


def _schedule(row: RowCells) -> TrainSpec:
    return replace(row.first.train, loss=TEACHER_FREE, seed=0)


def _parts(cells: Iterable[ReportCell]) -> list[list[ReportCell]]:
    """The cells of each block."""
    blocks: dict[tuple[object, ...], dict[int, list[ReportCell]]] = {}
    for cell in cells:
        train = cell.train
        text = (train.corpus_sha256, train.tokenizer_sha256)
        budget = "arms" if cell.arm else train.recipe.budget_tokens
        count = 0 if cell.arm or cell.role == "control" else len(cell.layers)
        alike = blocks.setdefault((cell.scale, cell.age, budget, text), {})
        alike.setdefault(count, []).append(cell)
    return [
        [*block, *(by_count.get(0, []) if count else [])]
        for by_count in blocks.values()
        for count, block in by_count.items()
        if count or len(by_count) == 1
    ]


def _axes(cell: ReportCell) -> dict[str, str | int | float]:
    """The axes that may name a row; those of a control mean nothing where nothing leaves."""
    if cell.arm:
        return {
            axis: v for axis, v in cell.values.items() if axis not in (*_OF_THE_BLOCK, "location")
        }
    axes = {"location": cell.location, **cell.values}
    without = (*_OF_THE_BLOCK, *(_NOTHING_LEAVES if cell.role == "control" else ()))
    return {axis: value for axis, value in axes.items() if axis not in without}


def _naming_axes(parts: Sequence[Sequence[ReportCell]]) -> dict[Role, list[str]]:
    """By role, the axes in which rows of any one block differ."""
    found: dict[Role, list[str]] = {"candidate": [], "control": [], "reference": []}
    for part in parts:
        for role, axes in found.items():
            values: dict[str, set[str | int | float]] = {}
            for cell in part:
                for axis, value in _axes(cell).items() if cell.role == role else ():
                    values.setdefault(axis, set()).add(value)
            axes += [a for a, several in values.items() if len(several) > 1 and a not in axes]
    return found


def axis_text(axis: str, value: str | int | float) -> str:
    """An axis with its value: `gap 100M`; a location and an arm speak for themselves."""
    if axis in ("location", "arm"):
        return str(value)
    return f"{axis} {format_tokens(value) if isinstance(value, int) else value}"


def _name(cell: ReportCell, naming: Sequence[str]) -> str:
    axes = _axes(cell)
    said = [axis_text(a, axes[a]) for a in naming if a in axes]
    if cell.role == "candidate" and said:
        return ", ".join(said)
    return ", ".join([cell.arm or cell.location, *(s for s in said if s != cell.arm)])


def _rows(part: Sequence[ReportCell], naming: Mapping[Role, Sequence[str]]) -> tuple[RowCells, ...]:
    """Cells by name and seed; of a trial that several cells mean, the first."""
    by_name: dict[str, dict[int, ReportCell]] = {}
    places: dict[str, tuple[object, ...]] = {}
    for cell in sorted(part, key=lambda cell: _place(cell, naming[cell.role])):
        name = _name(cell, naming[cell.role])
        by_name.setdefault(name, {}).setdefault(cell.train.seed, cell)
        places.setdefault(name, _place(cell, naming[cell.role]))
    return tuple(
        RowCells(name=name, place=places[name], cells=tuple(by_seed[s] for s in sorted(by_seed)))
        for name, by_seed in by_name.items()
    )


def _place(cell: ReportCell, naming: Sequence[str]) -> tuple[object, ...]:
    """Table 5's columns, then data-driven and explicit locations, random sets, the control."""
    axes = _axes(cell)
    values = [(isinstance(axes[a], str), axes[a]) for a in naming if a in axes and a != "arm"]
    return (_group(cell), cell.location if not cell.arm else "", *values)


def _group(cell: ReportCell) -> int:
    if cell.arm:
        return ARMS.index(cell.arm) if cell.arm in ARMS else len(ARMS)
    if cell.location in paper.LOCATIONS:
        return paper.LOCATIONS.index(cell.location)
    last = len(paper.LOCATIONS)
    return last + 2 if cell.location == CONTROL else last + cell.location.startswith("random")


def age_text(cell: ReportCell) -> str:
    """The age of a cell as people write it: `320B`, or a revision."""
    return format_tokens(cell.age) if isinstance(cell.age, int) else cell.age


def _common(part: Sequence[ReportCell], naming: Sequence[str]) -> tuple[str, ...]:
    """The axes that no row's name says, and what was fixed besides."""
    asked = [
        {"location": cell.location, **cell.values} for cell in part if cell.role == "candidate"
    ]
    if not asked:
        return ()
    unsaid = [a for a in asked[0] if a not in (*_OF_THE_BLOCK, *(naming or ["location"]))]
    said = [axis_text(a, asked[0][a]) for a in unsaid if len({axes.get(a) for axes in asked}) == 1]
    cell = next(cell for cell in part if cell.role == "candidate")
    if cell.gap_tokens and "gap" not in cell.values:
        said.append(f"gap {format_tokens(cell.gap_tokens)} tokens")
    if cell.train.loss != TEACHER_FREE and not {"loss", "arm"} & cell.values.keys():
        said.append(f"loss {cell.train.loss}")
    return tuple(said)


def _labels(cells: Sequence[ReportCell]) -> list[str]:
    """The age, and of scale, count, budget and text what differs among blocks of such `cells`."""
    facts = [_facts(cell) for cell in cells]
    differs = [len(set(column)) > 1 for column in zip(*facts, strict=True)]
    return [
        ", ".join(
            fact
            for place, (fact, differ) in enumerate(zip(said, differs, strict=True))
            if fact and (differ or place == _AGE)
        )
        for said in facts
    ]


_AGE = 1


def _facts(cell: ReportCell) -> tuple[str, ...]:
    budget = "" if cell.arm else f"{format_tokens(cell.train.recipe.budget_tokens)} tokens"
    text = f"corpus {cell.train.corpus_sha256[:6]}"
    return cell.scale, age_text(cell), f"count {len(cell.layers)}", budget, text
