"""Cells and bases as they are kept one by one, in the store or in MLflow, and put together again.

Whoever ran them, and in whatever order, cells of one sweep and scale become one report; those that
start from other weights of the same age become another one, so that no row is compared with the
wrong base.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.reports.results.spending import Spending, Spent
from raydistill.specs.trial import Age

SCHEMA = 1

FILE = "report.json"
"""The artifact of a run that holds a `CellRecord` or a `BaseRecord`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepHeader:
    """The sweep that a cell belongs to."""

    sweep: str
    question: str
    scale: str
    small_scale: bool
    searched: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecord:
    """A base that was measured."""

    about: SweepHeader
    base: ReportBase
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRecord:
    """A cell that was finished or failed."""

    about: SweepHeader
    base_sha256: str  # where it started
    cell: ReportCell
    spent: Spent | None = None  # by its trial, once finished
    remark: str = ""  # what chose its peak rate
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRecords:
    """All that a source has of some sweeps; the newest last."""

    bases: tuple[BaseRecord, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    unfinished: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    """Cells without a result yet, by sweep and scale."""
    spending: Mapping[tuple[str, str], Spending] = dataclasses.field(default_factory=dict)
    """What a sweep took besides its trials, and the price of an hour, where known."""


def assemble(kept: ReportRecords) -> list[SweepReport]:
    """The reports: one a sweep and scale, by name; more where bases of one age differ."""
    numbers = _base_numbers(kept)
    groups: dict[tuple[SweepHeader, int], dict[object, CellRecord]] = {}
    for each in kept.cells:
        number = numbers[_start(each.about, each.cell.scale, each.cell.age)][each.base_sha256]
        there = groups.setdefault((each.about, number), {})
        if _is_finished(each) or not _is_finished(there.get(_identity(each), each)):
            there[_identity(each)] = each
    alone = [(each.about, 0) for each in kept.bases if (each.about, 0) not in groups]
    for key in alone:
        groups.setdefault(key, {})
    return [
        SweepReport(
            sweep=about.sweep,
            question=about.question,
            scale=about.scale if number == 0 else f"{about.scale}, other bases ({number + 1})",
            small_scale=about.small_scale,
            searched=about.searched,
            bases=tuple(sorted(_bases(kept, about, number, numbers), key=_base_order)),
            cells=told_apart(sorted((each.cell for each in cells.values()), key=_cell_order)),
            remarks=tuple(dict.fromkeys(each.remark for each in cells.values() if each.remark)),
            spending=_spending(kept, about, cells.values()),
            unfinished=kept.unfinished.get((about.sweep, about.scale), 0) if number == 0 else 0,
        )
        for (about, number), cells in sorted(groups.items(), key=lambda g: _order(*g[0]))
    ]


OTHER_ARMS = "other losses"

ARM_ORDER = (
    *("", "base", "control", "one-shot", "teacher-free", "kd", "kd-equal-flops", OTHER_ARMS),
    *("scratch", "scratch-with-age"),
)
"""As METHOD 7 lists them; a cell that is no arm has none."""


def _order(about: SweepHeader, number: int) -> tuple[str, str, bool, int]:
    return about.sweep, about.scale, about.searched, number


def _spending(kept: ReportRecords, about: SweepHeader, cells: Iterable[CellRecord]) -> Spending:
    """Every trial once, in the order of the cells."""
    ordered = sorted(cells, key=lambda each: _cell_order(each.cell))
    trials = {each.spent.trial_id: each.spent for each in ordered if each.spent}
    besides = kept.spending.get((about.sweep, about.scale), Spending())
    return replace(besides, trials=tuple(trials.values()))


def _base_order(base: ReportBase) -> tuple[object, ...]:
    return base.num_params, base.scale, base.age_tokens


def _cell_order(cell: ReportCell) -> tuple[object, ...]:
    """By size, age and what was asked, as the paper's tables; whoever ran it, and when."""
    age = (0, cell.age, "") if isinstance(cell.age, int) else (1, 0, cell.age)
    values = sorted((axis, isinstance(v, str), v) for axis, v in cell.values.items())
    budget = cell.train.recipe.budget_tokens
    asked = (cell.location, cell.layers, values, cell.gap_tokens, cell.train.loss)
    arm = ARM_ORDER.index(cell.arm if cell.arm in ARM_ORDER else OTHER_ARMS)
    return cell.num_params, cell.scale, age, arm, budget, len(cell.layers), asked, cell.train.seed


def _start(about: SweepHeader, scale: str, age: Age) -> tuple[str, str, str, Age]:
    return about.sweep, about.scale, scale, age


def _base_numbers(kept: ReportRecords) -> dict[tuple[str, str, str, Age], dict[str, int]]:
    """The weights behind each age of each sweep, numbered as they were met."""
    found: dict[tuple[str, str, str, Age], dict[str, int]] = {}
    starts = [(_start(b.about, b.base.scale, b.base.age), _sha256(b)) for b in kept.bases]
    starts += [(_start(c.about, c.cell.scale, c.cell.age), c.base_sha256) for c in kept.cells]
    for start, sha256 in starts:
        there = found.setdefault(start, {})
        there.setdefault(sha256, len(there))
    return found


def _bases(
    kept: ReportRecords,
    about: SweepHeader,
    number: int,
    numbers: Mapping[tuple[str, str, str, Age], Mapping[str, int]],
) -> list[ReportBase]:
    found: dict[tuple[str, Age], ReportBase] = {}
    for each in kept.bases:
        start = _start(each.about, each.base.scale, each.base.age)
        if each.about == about and numbers[start][_sha256(each)] == number:
            found[each.base.scale, each.base.age] = each.base
    return list(found.values())


def _sha256(each: BaseRecord) -> str:
    return each.base.scores.weights_sha256


def _is_finished(each: CellRecord) -> bool:
    return isinstance(each.cell.outcome, Measured)


def _identity(each: CellRecord) -> object:
    """What two runs share that are one cell."""
    cell = each.cell
    values = tuple(sorted((axis, str(value)) for axis, value in cell.values.items()))
    return each.base_sha256, cell.location, values, cell.layers, cell.gap_tokens, cell.train


def told_apart(cells: Sequence[ReportCell]) -> tuple[ReportCell, ...]:
    """Cells of several commands: what differs between two of the same axis values joins these.

    So a gap, a loss or a learning rate that somebody set by a flag is part of a row's name.
    """
    alike: dict[object, list[ReportCell]] = {}
    for cell in cells:
        text = (cell.train.corpus_sha256, cell.train.tokenizer_sha256)
        budget = cell.train.recipe.budget_tokens
        values = tuple(sorted((axis, str(value)) for axis, value in cell.values.items()))
        key = (cell.scale, cell.age, cell.location, values, cell.train.seed, budget, text)
        alike.setdefault(key, []).append(cell)
    differing: list[str] = []
    for some in alike.values():
        settings = [_settings(cell) for cell in some]
        differing += [n for n in settings[0] if len({each[n] for each in settings}) > 1]
    names = dict.fromkeys(differing)
    return tuple(
        replace(cell, values={**cell.values, **{name: _settings(cell)[name] for name in names}})
        for cell in cells
    )


def _settings(cell: ReportCell) -> dict[str, str | int | float]:
    recipe = dataclasses.asdict(cell.train.recipe)
    recipe.pop("budget_tokens")
    layers = " ".join(map(str, cell.layers)) or "none"
    return {"layers": layers, "gap_tokens": cell.gap_tokens, "loss": cell.train.loss, **recipe}
