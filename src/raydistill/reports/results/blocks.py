"""Which cells are one row, and which rows are compared with each other.

Cells that differ in their data seed alone are one row. Rows of one model size, age, count,
budget and text are one block, which the control of that size, age, budget and text joins, and
every reference on that text, and what was added beside that size, age and text.
Budgets differ within a block by design only: between arms, and where FLOPs are equal.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from raydistill.core.units import format_age, format_tokens
from raydistill.evaluation.performance_drops import Runs
from raydistill.planning.cell import compares_teachers
from raydistill.reports.results.cells import CANDIDATES, Measured, ReportCell, Role
from raydistill.reports.results.controls import control_key
from raydistill.reports.results.row_names import Naming, in_common, naming_axes, row_name, row_order
from raydistill.specs.results import TrialFailure
from raydistill.specs.trial import FROM_BASE, Age, age_places

ARMS, EQUAL_FLOPS = "arms", "equal FLOPs"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCells:
    """The cells of one row, finished or failed, each of another data seed.

    `for_seeds` are the data seeds of the block; a cell that no seed changes stands for all of them.
    """

    name: str
    sort_key: tuple[object, ...]
    cells: tuple[ReportCell, ...]
    for_seeds: tuple[int, ...]

    @property
    def first(self) -> ReportCell:
        """A cell, for what all have in common."""
        return self.cells[0]

    @property
    def role(self) -> Role:
        """Candidate, control or reference."""
        return self.first.role

    @property
    def runs(self) -> Runs:
        """The measurements, by data seed; empty where every seed failed."""
        return {
            seed: cell.outcome.documents
            for cell in self.cells
            if isinstance(cell.outcome, Measured)
            for seed in (self.for_seeds if cell.for_every_seed else [cell.train.seed])
        }

    @property
    def failures(self) -> Mapping[int, TrialFailure]:
        """The failures, by data seed."""
        return {
            cell.train.seed: cell.outcome
            for cell in self.cells
            if isinstance(cell.outcome, TrialFailure)
        }

    @property
    def curve(self) -> Mapping[int, float]:
        """Held-out nats per token by tokens trained: the mean over seeds, at points all have."""
        curves = [
            {point.tokens: point.nll for point in cell.outcome.result.trained.heldout_curve}
            for cell in self.cells
            if isinstance(cell.outcome, Measured)
        ]
        shared = set.intersection(*map(set, curves)) if curves else set()
        return {n: fmean(curve[n] for curve in curves) for n in sorted(shared)}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowBlock:
    """Rows that are compared with each other, in Table 5's order; at least one.

    `label` is the shortest that tells the blocks of a report apart; `common` holds the other
    settings that all candidates share.
    """

    label: str
    common: tuple[str, ...]
    equal_flops: bool
    rows: tuple[RowCells, ...]

    @property
    def first(self) -> ReportCell:
        """A cell, for what all have in common: a candidate where there is one."""
        return next((row.first for row in self.rows if row.role in CANDIDATES), self.rows[0].first)

    @property
    def candidates(self) -> tuple[RowCells, ...]:
        """The rows that may be the best."""
        return tuple(row for row in self.rows if row.role in CANDIDATES)

    @property
    def count(self) -> int:
        """How many layers leave: the most of any row, as an arm from scratch never had them."""
        return max(row.first.count for row in self.rows if not row.first.added)

    @property
    def mixed_budgets(self) -> bool:
        """Whether the rows trained on different numbers of tokens, by design."""
        students = [row.first for row in self.rows if not row.first.beside]
        return len({cell.train.recipe.budget_tokens for cell in students}) > 1


def row_blocks(cells: Sequence[ReportCell]) -> tuple[RowBlock, ...]:
    """All cells of a report in rows and blocks, in the order of their cells."""
    keys = _in_age_order(_keys(cells))
    members = [[cell for cell in cells if _belongs(cell, key, cells)] for key in keys]
    naming = naming_axes(members)
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    return tuple(
        RowBlock(
            label=label,
            common=in_common(block, naming),
            equal_flops=key.tokens == EQUAL_FLOPS,
            rows=_rows(block, naming, arms),
        )
        for key, block, label in zip(keys, members, _labels(keys), strict=True)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    """What the candidates of a block have in common."""

    scale: str
    age: Age
    text: tuple[str, str]
    tokens: int | str  # the budget, or the design by which it differs
    count: int
    recipe: tuple[tuple[str, object], ...]  # of several in a report, what tells it apart


def _key(cell: ReportCell) -> _Key:
    train = cell.train
    apart = bool(cell.arm) or compares_teachers(cell.values)
    tokens = ARMS if apart else EQUAL_FLOPS if cell.own_budget else train.recipe.budget_tokens
    return _Key(
        scale=cell.scale,
        age=cell.age,
        text=(train.corpus_sha256, train.tokenizer_sha256),
        tokens=tokens,
        count=0 if cell.arm else cell.count,
        recipe=cell.own_recipe,
    )


def _keys(cells: Sequence[ReportCell]) -> list[_Key]:
    """The keys of all blocks; controls without a candidate are a block by themselves."""
    healed = (cell for cell in cells if cell.role in CANDIDATES and not _heals_no_base(cell))
    keys = dict.fromkeys(map(_key, healed))
    for cell in cells:
        if not cell.beside and not any(_belongs(cell, key, cells) for key in keys):
            keys[_key(cell)] = None
    return list(keys)


def _in_age_order(keys: Sequence[_Key]) -> list[_Key]:
    """The youngest base first, among all or for each count: whichever was the outer axis."""
    ages = [key.age for key in keys]
    places = age_places(ages)
    if sum(1 for _ in itertools.groupby(ages)) == len(places):
        return sorted(keys, key=lambda key: places[key.age])
    others = list(dict.fromkeys(replace(key, age="") for key in keys))
    return sorted(keys, key=lambda key: (others.index(replace(key, age="")), places[key.age]))


def _belongs(cell: ReportCell, key: _Key, cells: Sequence[ReportCell]) -> bool:
    own = _key(cell)
    if cell.reference:
        # In the tokens of another tokenizer its tasks may be compared, its perplexity may not.
        return own.text == key.text or own.text[1] != key.text[1]
    if cell.added:
        return (own.scale, own.age, own.text) == (key.scale, key.age, key.text)
    if own == key:
        return True
    if (own.scale, own.age, own.text) != (key.scale, key.age, key.text):
        return False
    if own.recipe != key.recipe and not _has_every_recipe(cell, key, cells):
        return False
    if cell.arm:
        return own.tokens == key.tokens
    if cell.role not in CANDIDATES:
        return key.tokens in (own.tokens, EQUAL_FLOPS)
    return key.tokens == EQUAL_FLOPS and own.count == key.count and cell.gap_tokens == 0


def _has_every_recipe(cell: ReportCell, key: _Key, cells: Sequence[ReportCell]) -> bool:
    """Whether a cell is comparable with rows of another recipe: not healed, or their control."""
    if cell.role != "control":
        return _heals_no_base(cell)
    candidates = (other for other in cells if other.role in CANDIDATES and _key(other) == key)
    return any(control_key(candidate, cell) is not None for candidate in candidates)


def _heals_no_base(cell: ReportCell) -> bool:
    """Whether it is an arm that is not trained, or from scratch by the recipe of a base."""
    return bool(cell.arm) and (cell.start != FROM_BASE or not cell.train.recipe.budget_tokens)


def _rows(block: Sequence[ReportCell], naming: Naming, arms: Sequence[str]) -> tuple[RowCells, ...]:
    """Cells by name and seed; of cells of one name that are one trial, the first."""
    seeds = tuple(sorted({cell.train.seed for cell in block if not cell.for_every_seed}))
    by_name: dict[str, dict[int, ReportCell]] = {}
    ordered = sorted(block, key=lambda cell: row_order(cell, naming, arms))
    for cell, name in zip(ordered, _names(ordered, naming), strict=True):
        by_name.setdefault(name, {}).setdefault(cell.train.seed, cell)
    return tuple(
        RowCells(
            name=name,
            sort_key=row_order(next(iter(by_seed.values())), naming, arms),
            cells=tuple(by_seed[seed] for seed in sorted(by_seed)),
            for_seeds=seeds or tuple(by_seed),
        )
        for name, by_seed in by_name.items()
    )


def _names(cells: Sequence[ReportCell], naming: Naming) -> list[str]:
    """The name of each cell's row; with location, count, id where different work had one name."""
    names = [row_name(cell, naming) for cell in cells]
    further: tuple[Callable[[ReportCell], str], ...] = (
        lambda cell: cell.location,
        lambda cell: f"count {cell.count}",
        lambda cell: cell.trial_id[:8],
    )
    for more in further:
        trials: dict[tuple[str, int], set[str]] = {}
        for cell, name in zip(cells, names, strict=True):
            trials.setdefault((name, cell.train.seed), set()).add(cell.trial_id)
        unclear = {name for (name, _), ids in trials.items() if len(ids) > 1}
        names = [
            f"{name}, {more(cell)}" if name in unclear else name
            for cell, name in zip(cells, names, strict=True)
        ]
    return names


def _labels(keys: Sequence[_Key]) -> list[str]:
    """The age, and of scale, count, tokens and text whatever differs among the blocks."""
    facts = [
        (
            key.scale,
            format_age(key.age),
            f"count {key.count}",
            f"{format_tokens(key.tokens)} tokens" if isinstance(key.tokens, int) else key.tokens,
            f"corpus {key.text[0][:6]}",
            ", ".join(f"{name} {value}" for name, value in key.recipe),
        )
        for key in keys
    ]
    columns = enumerate(zip(*facts, strict=True))
    shown = [index == _AGE or len(set(column)) > 1 for index, column in columns]
    return [", ".join(filter(None, itertools.compress(fact, shown))) for fact in facts]


_AGE = 1  # its index among the facts of a label


def age_text(cell: ReportCell) -> str:
    """The age of a cell as people write it: `320B`, or a revision."""
    return format_age(cell.age)
