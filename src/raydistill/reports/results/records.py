"""Cells and bases as single records, as MLflow holds them, and reports assembled from records.

Whoever ran them, and in whatever order, cells of one sweep and scale become one report; those that
start from other weights of the same age become another one, so that no row is compared with the
wrong base.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.planning.cell import shortest
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.reports.results.spending import Spending, Spent
from raydistill.specs.recipe import field_named, is_setting
from raydistill.specs.trial import FROM_BASE, Age, Recipe

SCHEMA = 1

FILE = "report.json"  # the artifact of a run that holds a `CellRecord` or a `BaseRecord`


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepHeader:
    """The sweep of a cell or base."""

    sweep: str
    question: str
    scale: str
    small_scale: bool
    searched: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecord:
    """A measured base."""

    about: SweepHeader
    base: ReportBase
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRecord:
    """A cell that finished or failed."""

    about: SweepHeader
    base_sha256: str  # of the weights it starts from
    cell: ReportCell
    spent: Spent | None = None  # by its trial, if finished
    remark: str = ""  # how its peak rate was chosen
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRecords:
    """All that a source has of some sweeps, the newest last.

    `unfinished` counts cells without a result yet, by sweep and scale; `spending` is what a sweep
    took besides its trials, with the price of an hour where known.
    """

    bases: tuple[BaseRecord, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    unfinished: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    spending: Mapping[tuple[str, str], Spending] = dataclasses.field(default_factory=dict)


def assemble(records: ReportRecords) -> list[SweepReport]:
    """The reports: one a sweep and scale, by name; more where bases of one age differ."""
    numbers = _base_numbers(records)
    groups: dict[tuple[SweepHeader, int], dict[object, CellRecord]] = {}
    for record in records.cells:
        number = numbers[_cell_start(record)][record.base_sha256]
        group, key = groups.setdefault((record.about, number), {}), _identity(record)
        if _is_finished(record) or not _is_finished(group.get(key, record)):
            group[key] = record
    for base in records.bases:  # a sweep may have no cell yet
        groups.setdefault((base.about, 0), {})
    return [
        SweepReport(
            sweep=about.sweep,
            question=about.question,
            scale=about.scale if number == 0 else f"{about.scale}, other bases ({number + 1})",
            small_scale=about.small_scale,
            searched=about.searched,
            bases=tuple(sorted(_bases(records, about, number, numbers), key=_base_order)),
            cells=_with_differing_settings(
                sorted((record.cell for record in cells.values()), key=_cell_order)
            ),
            remarks=tuple(dict.fromkeys(r.remark for r in cells.values() if r.remark)),
            spending=_spending(records, about, cells.values()),
            unfinished=records.unfinished.get((about.sweep, about.scale), 0) if number == 0 else 0,
        )
        for (about, number), cells in sorted(groups.items(), key=lambda g: _order(*g[0]))
    ]


_OTHER_ARMS = "other losses"
_ARM_ORDER = (  # as METHOD 7 lists them; "" is a cell that is no arm
    *("", "base", "control", "one-shot", "teacher-free", "kd", "kd-equal-flops", _OTHER_ARMS),
    *("scratch", "scratch-with-age"),
)


def _order(about: SweepHeader, number: int) -> tuple[str, str, bool, int]:
    return about.sweep, about.scale, about.searched, number


def _spending(records: ReportRecords, about: SweepHeader, cells: Iterable[CellRecord]) -> Spending:
    """Every trial once, in the order of the cells."""
    ordered = sorted(cells, key=lambda record: _cell_order(record.cell))
    trials = {record.spent.trial_id: record.spent for record in ordered if record.spent}
    besides = records.spending.get((about.sweep, about.scale), Spending())
    return replace(besides, trials=tuple(trials.values()))


def _base_order(base: ReportBase) -> tuple[object, ...]:
    return base.num_params, base.scale, base.age_tokens


def _cell_order(cell: ReportCell) -> tuple[object, ...]:
    """By size, age and settings, as the paper's tables; whoever ran it, and when."""
    age = (0, cell.age, "") if isinstance(cell.age, int) else (1, 0, cell.age)
    values = sorted((axis, isinstance(v, str), v) for axis, v in cell.values.items())
    budget = cell.train.recipe.budget_tokens
    settings = (cell.location, cell.layers, values, cell.gap_tokens, cell.train.loss)
    arm = _ARM_ORDER.index(cell.arm if cell.arm in _ARM_ORDER else _OTHER_ARMS)
    size = cell.num_params, cell.scale
    return *size, age, arm, budget, cell.count, settings, cell.train.seed


_Start = tuple[str, str, str, Age]  # sweep and its scale, scale and age of a base


def _base_start(record: BaseRecord) -> _Start:
    return record.about.sweep, record.about.scale, record.base.scale, record.base.age


def _cell_start(record: CellRecord) -> _Start:
    return record.about.sweep, record.about.scale, record.cell.scale, record.cell.age


def _base_numbers(records: ReportRecords) -> dict[_Start, dict[str, int]]:
    """Every weights_sha256 of each age of each sweep, numbered from 0 as they occur."""
    numbers: dict[_Start, dict[str, int]] = {}
    starts = [(_base_start(base), base.base.scores.weights_sha256) for base in records.bases]
    starts += [(_cell_start(cell), cell.base_sha256) for cell in records.cells]
    for start, sha256 in starts:
        of_start = numbers.setdefault(start, {})
        of_start.setdefault(sha256, len(of_start))
    return numbers


def _bases(
    records: ReportRecords,
    about: SweepHeader,
    number: int,
    numbers: Mapping[_Start, Mapping[str, int]],
) -> list[ReportBase]:
    bases = {
        (record.base.scale, record.base.age): record.base
        for record in records.bases
        if record.about == about
        and numbers[_base_start(record)][record.base.scores.weights_sha256] == number
    }
    return list(bases.values())


def _is_finished(record: CellRecord) -> bool:
    return isinstance(record.cell.outcome, Measured)


def _identity(record: CellRecord) -> object:
    """Equal for two runs of one cell."""
    cell = record.cell
    axes = _axis_values(cell)
    removal = (cell.location, cell.layers, cell.gap_tokens)
    return record.base_sha256, axes, removal, cell.train, cell.teacher


def _axis_values(cell: ReportCell) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((axis, str(value)) for axis, value in cell.values.items()))


def _with_differing_settings(cells: Sequence[ReportCell]) -> tuple[ReportCell, ...]:
    """Adds to the axis values of all cells each setting in which two of equal values differ.

    So a gap, a loss or a learning rate that somebody set by a flag is part of a row's name.
    Rows of several recipes are in blocks of their own: nothing is claimed across them.
    """
    cells = _with_every_recipe_axis(cells)
    groups: dict[object, list[ReportCell]] = {}
    for cell in cells:
        text = (cell.train.corpus_sha256, cell.train.tokenizer_sha256)
        budget = cell.train.recipe.budget_tokens
        seed, axes = cell.train.seed, _axis_values(cell)
        key = (cell.scale, cell.age, cell.location, axes, seed, budget, text)
        groups.setdefault(key, []).append(cell)
    extra_axes: dict[str, None] = {}  # in order
    for group in groups.values():
        first, *others = (_settings(cell) for cell in group)
        extra_axes |= dict.fromkeys(n for n in first if any(o[n] != first[n] for o in others))
    extra_axes |= dict.fromkeys(_differing_recipe(cells))
    recipe = tuple(name for name in extra_axes if name in _RECIPE)
    return tuple(
        replace(
            cell,
            values={**cell.values, **{n: _settings(cell)[n] for n in extra_axes}},
            recipe_differs=recipe,
        )
        for cell in cells
    )


def _with_every_recipe_axis(cells: Sequence[ReportCell]) -> list[ReportCell]:
    """Cells of sweeps in which a field of the recipe was no axis get its value too."""
    names = dict.fromkeys(name for cell in cells for name in cell.values if is_setting(name))
    return [cell if cell.beside else _with_settings(cell, names) for cell in cells]


def _with_settings(cell: ReportCell, names: Iterable[str]) -> ReportCell:
    recipe = cell.train.recipe
    own = {name: shortest(getattr(recipe, field_named(name))) for name in names}
    return replace(cell, values={**own, **cell.values}) if own.keys() - cell.values.keys() else cell


_BY_NO_RECIPE = {
    *("location", "count", "gap", "age", "loss", "seed", "order", "budget", "teacher", "excerpt"),
    *("arm", "equal", "size"),
}  # axes that leave the recipe of healing as it is


def _differing_recipe(cells: Iterable[ReportCell]) -> Iterator[str]:
    """The fields in which recipes of healing differ, though no axis of a sweep's own does.

    A peak rate that was probed is each arm's own.
    """
    groups: dict[object, list[dict[str, object]]] = {}
    for cell in cells:
        recipe = cell.train.recipe
        if cell.start == FROM_BASE and recipe.budget_tokens and not cell.beside:
            own = [entry for entry in _axis_values(cell) if entry[0] not in _BY_NO_RECIPE]
            peak_lr = {"peak_lr": "probed"} if cell.probed else {}
            fields = dataclasses.asdict(recipe) | peak_lr | {"budget_tokens": 0}
            groups.setdefault((cell.scale, tuple(own)), []).append(fields)
    for first, *others in groups.values():
        yield from (name for name in first if any(o[name] != first[name] for o in others))


_RECIPE = {field.name for field in dataclasses.fields(Recipe)}


def _settings(cell: ReportCell) -> dict[str, str | int | float]:
    recipe = dataclasses.asdict(cell.train.recipe)
    recipe.pop("budget_tokens")
    layers = " ".join(map(str, cell.layers)) or "none"
    taught = {"loss": cell.train.loss, "teacher": cell.teacher}
    return {"layers": layers, "gap_tokens": cell.gap_tokens, **taught, **recipe}
