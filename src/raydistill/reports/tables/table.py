"""The table of a sweep, in Table 5's order: what every row lost, how surely, beside the paper.

`build_table` decides the whole content; `formats/` only lays it out. `results/blocks.py` says
which cells are a row, and which rows are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.core.progress import tracked
from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.results.agreement import (
    Removal,
    how_many,
    removal,
    teacher_or_not,
    wait_or_not,
)
from raydistill.reports.results.amortised_teacher import teacher_prices
from raydistill.reports.results.blocks import RowBlock, RowCells, age_text, row_blocks
from raydistill.reports.results.caveats import warnings
from raydistill.reports.results.cells import (
    CANDIDATES,
    ReportBase,
    ReportCell,
    Role,
    SweepReport,
)
from raydistill.reports.results.common_tasks import TableTasks, table_tasks
from raydistill.reports.results.comparison import Comparison, compare, shared_seeds
from raydistill.reports.results.spending import Spending
from raydistill.reports.tables import sentences
from raydistill.reports.tables.footnotes import footnote_number, footnotes_of
from raydistill.reports.tables.healing import healing
from raydistill.reports.tables.lengths import (
    bases_with_windows,
    cell_scores,
    lengths,
    truncations,
    window_tokens,
)
from raydistill.reports.tables.score_predictions import predictions
from raydistill.reports.tables.titles import base_level, block_title, table_title
from raydistill.specs.evaluation import PERPLEXITY
from raydistill.specs.results import Truncation, loss_of
from raydistill.specs.trial import Age


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The cells that differ in their data seed alone, averaged over `seeds`.

    `best_…`: not distinguishable from the best of its block, by that measure, where the block
    compares two candidates or more.
    """

    name: str
    role: Role
    location: str
    seeds: tuple[int, ...]  # finished, or stood for; one alone leaves training noise out
    budget_tokens: int  # trained from the first removal on, as run
    layers: tuple[int, ...]
    layer_map: str
    against_base: Drops
    against_control: Drops
    best_nll: bool
    best_downstream: bool
    paper_drop_pct: float | Missing  # downstream, against the base
    notes: tuple[int, ...]  # into the table's footnotes, from 1
    window_tokens: int  # that its perplexity is measured in; 0 if it is not
    truncation: Mapping[str, Truncation]  # by task, where it was counted
    loss: str = PERPLEXITY  # that the held-out loss is, or `masked-perplexity`


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What is compared with each other: one model size, age, count, budget and text.

    Arms of a comparison, and rows at equal FLOPs, are one block whatever their budget; then
    `mixed_budgets`, and every row shows its own. `one_control`: of all candidates; else the best
    against the base need not be the best against the control. `words` are sentences on what
    stands out.
    """

    label: str  # the shortest that tells the blocks of a table apart: `320B`, `320B, count 4`
    scale: str
    num_params: int  # of the model before anything leaves
    age: str
    count: int  # layers that leave, of every candidate
    seeds: tuple[int, ...]  # that all candidates have: these decide which is the best
    mixed_budgets: bool
    one_control: bool
    paper_checkpoint: str  # empty where Table 5 has no such line
    base: str  # how much training it had, and its scores
    title: str
    rows: tuple[Row, ...]
    words: tuple[str, ...]

    @property
    def loss(self) -> str:
        """What the held-out loss of its rows is: one scale measures one."""
        return next((row.loss for row in self.rows), PERPLEXITY)

    @property
    def compares(self) -> bool:
        """Whether there are two candidates or more; otherwise there is no best."""
        return sum(row.role in CANDIDATES for row in self.rows) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The whole content of the report of a sweep; `serialization.to_json` writes it."""

    title: str
    warnings: tuple[str, ...]
    tasks: tuple[str, ...]  # every downstream mean of the table is over these
    columns: tuple[str, ...]  # names of all rows, in Table 5's order
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]
    spending: Spending


def build_table(report: SweepReport) -> Table:
    """The table of a sweep. A missing value becomes a “–” with a footnote."""
    tasks = table_tasks(report)
    bases = bases_with_windows(report)
    row_groups = row_blocks(report.cells)
    sizes = len({block.first.scale for block in row_groups}) > 1
    footnotes: list[str] = []
    blocks = [
        _block(
            block,
            bases.get((block.first.scale, block.first.age)),
            tasks,
            footnotes,
            sizes=sizes,
        )
        for block in tracked(row_groups, "comparing", "rows", size=lambda b: len(b.rows))
    ]
    if about_all := how_many(_removals(row_groups, blocks, bases)):
        blocks[-1] = replace(blocks[-1], words=(*blocks[-1].words, *about_all))
    return Table(
        title=table_title(report),
        warnings=(*warnings(report, row_groups, tasks), *lengths(report)),
        tasks=tuple(sorted(tasks.chance)),
        columns=_columns(row_groups),
        blocks=tuple(blocks),
        footnotes=tuple(footnotes),
        spending=report.spending,
    )


def _removals(
    row_groups: Sequence[RowBlock],
    blocks: Sequence[Block],
    bases: Mapping[tuple[str, Age], ReportBase],
) -> list[Removal]:
    """The loss of every candidate; rows at equal FLOPs and arms have budgets of their own."""
    return [
        removal(
            f"{block.label}, {row.name}",
            cells,
            bases[group.first.scale, group.first.age],
            row.against_base.delta_nll.value,
        )
        for group, block in zip(row_groups, blocks, strict=True)
        for cells, row in zip(group.rows, block.rows, strict=True)
        if row.role == "candidate" and not block.mixed_budgets
        if isinstance(row.against_base.delta_nll, Estimate)
    ]


def _columns(blocks: Sequence[RowBlock]) -> tuple[str, ...]:
    """The names of all rows, in their order within a block."""
    sort_keys: dict[str, tuple[object, ...]] = {}
    for row in (row for block in blocks for row in block.rows):
        sort_keys.setdefault(row.name, row.sort_key)
    return tuple(sorted(sort_keys, key=sort_keys.__getitem__))


def _block(
    block: RowBlock,
    base: ReportBase | None,
    tasks: TableTasks,
    footnotes: list[str],
    *,
    sizes: bool,
) -> Block:
    chance, comparisons = tasks.chance, compare(block.rows, base, tasks)
    cell = block.first
    printed = (sentences.paper_row(row.first) for row in block.rows)
    measured = [
        (row.first, lost.against_base.delta_nll, not lost.best_nll)
        for row, lost in zip(block.rows, comparisons, strict=True)
        if row.role == "candidate"
    ]
    words = (
        *sentences.references(block),
        *sentences.teachers(block),
        *sentences.different_seeds(block),
        *sentences.beside_the_paper(block.rows, comparisons, tasks),
        *teacher_or_not(block.rows),
        *wait_or_not(block.rows),
        *predictions(measured),
        *(() if block.mixed_budgets else healing(block.rows, comparisons)),
        *sentences.on_general_text(block.rows, base),
        *teacher_prices([cell for row in block.rows for cell in row.cells]),
    )
    return Block(
        label=block.label,
        scale=cell.scale,
        num_params=cell.num_params,
        age=age_text(cell),
        count=block.count,
        seeds=shared_seeds(block.candidates),
        mixed_budgets=block.mixed_budgets,
        one_control=all(comparison.one_control for comparison in comparisons),
        paper_checkpoint=next((row.checkpoint for row in printed if row), ""),
        base=base_level(base, chance),
        title=block_title(block, base, chance, sizes=sizes),
        rows=tuple(
            _row(row, comparison, block.rows, footnotes)
            for row, comparison in zip(block.rows, comparisons, strict=True)
        ),
        words=words,
    )


def _row(
    row: RowCells, comparison: Comparison, rows: Sequence[RowCells], footnotes: list[str]
) -> Row:
    cell = row.first
    against_base, against_control = comparison.against_base, comparison.against_control
    return Row(
        name=row.name,
        role=row.role,
        location=cell.location,
        seeds=tuple(row.runs),
        budget_tokens=cell.train.recipe.budget_tokens,
        layers=cell.layers,
        layer_map=cell.layer_map,
        against_base=against_base,
        against_control=against_control,
        best_nll=comparison.best_nll,
        best_downstream=comparison.best_downstream,
        paper_drop_pct=_paper_drop_pct(cell),
        notes=tuple(
            footnote_number(text, footnotes) for text in footnotes_of(row, comparison, rows)
        ),
        window_tokens=window_tokens(row.cells),
        loss=loss_of(cell_scores(row.cells)),
        truncation=next(map(truncations, cell_scores(row.cells)), {}),
    )


def _paper_drop_pct(cell: ReportCell) -> float | Missing:
    row = sentences.paper_row(cell)
    if row is None or cell.location not in row.downstream_drop_pct:
        return Missing(reason="the paper has no such cell")
    return row.downstream_drop_pct[cell.location]
