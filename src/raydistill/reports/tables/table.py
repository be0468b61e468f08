"""The table of a sweep, in Table 5's order: what every row lost, how surely, beside the paper.

`build_table` decides everything that is said; `terminal.py` and `markdown.py` only set it.
`blocks.py` says which cells are a row, and which rows are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.evaluation.bootstrap import Entry, Estimate, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.results import agreement as contradictions
from raydistill.reports.results import caveats as limits
from raydistill.reports.results.amortised_teacher import teacher_prices
from raydistill.reports.results.blocks import RowBlock, RowCells, age_text, row_blocks
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import ReportBase, ReportCell, Role, SweepReport
from raydistill.reports.results.common_tasks import table_tasks
from raydistill.reports.results.comparison import Comparison, compare, failure_reason, shared_seeds
from raydistill.reports.results.spending import Spending
from raydistill.reports.tables import sentences as words
from raydistill.reports.tables import titles
from raydistill.reports.tables.score_predictions import predictions
from raydistill.reports.tables.sentences import on_general_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The cells that differ in their data seed alone, taken together over `seeds`.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What is compared with each other: one model size, age, count, budget and text.

    Arms of a comparison, and rows at equal FLOPs, stand together whatever their budget; then
    `mixed_budgets`, and every row shows its own. `words` says what stands out.
    """

    label: str  # the shortest that tells the blocks of a table apart: `320B`, `320B, count 4`
    scale: str
    num_params: int  # of the model before anything leaves
    age: str
    count: int  # layers that leave, of every candidate
    seeds: tuple[int, ...]  # that all candidates have: on these they are told apart
    mixed_budgets: bool
    paper_checkpoint: str  # empty where Table 5 has no such line
    base: str  # how much training it had, and where it stands
    title: str
    rows: tuple[Row, ...]
    words: tuple[str, ...]

    @property
    def compares(self) -> bool:
        """Whether there are two candidates or more: else there is no best."""
        return sum(row.role == "candidate" for row in self.rows) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Everything the report of a sweep says; `codec.to_json` writes it."""

    title: str
    warnings: tuple[str, ...]
    tasks: tuple[str, ...]  # every downstream mean of the table is over these
    columns: tuple[str, ...]  # names of all rows, in Table 5's order
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]
    spending: Spending


def build_table(report: SweepReport) -> Table:
    """The table of a sweep. Whatever is missing becomes a “–” with a footnote."""
    tasks = table_tasks(report)
    bases = {(base.scale, base.age): base for base in report.bases}
    together = row_blocks(report.cells)
    sizes = len({block.first.scale for block in together}) > 1
    footnotes: list[str] = []
    blocks = tuple(
        _block(
            block,
            bases.get((block.first.scale, block.first.age)),
            tasks.chance,
            footnotes,
            sizes=sizes,
        )
        for block in together
    )
    return Table(
        title=titles.table_title(report),
        warnings=limits.warnings(report, together, tasks),
        tasks=tuple(sorted(tasks.chance)),
        columns=_columns(together),
        blocks=_with_last_words(blocks, contradictions.how_many(_removals(together, blocks))),
        footnotes=tuple(footnotes),
        spending=report.spending,
    )


def _removals(
    together: Sequence[RowBlock], blocks: Sequence[Block]
) -> list[contradictions.Removal]:
    """What every candidate lost; rows at equal FLOPs and arms have budgets of their own."""
    return [
        contradictions.Removal(
            name=f"{block.label}, {row.name}",
            scale=block.scale,
            num_params=block.num_params,
            age=cells.first.age,
            count=len(row.layers),
            delta_nll=row.against_base.delta_nll.value,
        )
        for cells, block in zip(together, blocks, strict=True)
        for row in block.rows
        if row.role == "candidate" and not block.mixed_budgets
        if isinstance(row.against_base.delta_nll, Estimate)
    ]


def _with_last_words(blocks: tuple[Block, ...], words: tuple[str, ...]) -> tuple[Block, ...]:
    """What is said of all blocks together stands at their end."""
    if not blocks or not words:
        return blocks
    *others, last = blocks
    return (*others, replace(last, words=(*last.words, *words)))


def _columns(blocks: Sequence[RowBlock]) -> tuple[str, ...]:
    """All names, each where the blocks that have it put it."""
    places: dict[str, tuple[object, ...]] = {}
    for row in (row for block in blocks for row in block.rows):
        places.setdefault(row.name, row.place)
    return tuple(sorted(places, key=places.__getitem__))


def _block(
    block: RowBlock,
    base: ReportBase | None,
    chance: Mapping[str, float],
    footnotes: list[str],
    *,
    sizes: bool,
) -> Block:
    comparisons = compare(block.rows, base, chance)
    cell = block.first
    checkpoints = [row.checkpoint for row in (words.paper_row(r.first) for r in block.rows) if row]
    lost = [comparison.against_base.delta_nll for comparison in comparisons]
    said = [
        *words.references(block),
        *words.different_seeds(block),
        *words.beside_the_paper(block.rows, comparisons, chance),
        *contradictions.teacher_or_not(block.rows),
        *contradictions.wait_or_not(block.rows),
        *predictions(zip([row.first for row in block.rows], lost, strict=True)),
        *([] if block.mixed_budgets else words.healing(block.rows)),
        *on_general_text(block.rows, base),
        *teacher_prices([cell for row in block.rows for cell in row.cells]),
    ]
    return Block(
        label=block.label,
        scale=cell.scale,
        num_params=cell.num_params,
        age=age_text(cell),
        count=block.count,
        seeds=shared_seeds(block.candidates),
        mixed_budgets=block.mixed_budgets,
        paper_checkpoint=checkpoints[0] if checkpoints else "",
        base=titles.base_level(base, chance),
        title=titles.block_title(block, base, chance, sizes=sizes),
        rows=tuple(
            _row(row, comparison, footnotes)
            for row, comparison in zip(block.rows, comparisons, strict=True)
        ),
        words=tuple(said),
    )


def _row(row: RowCells, comparison: Comparison, footnotes: list[str]) -> Row:
    cell = row.first
    against_base, against_control = comparison.against_base, comparison.against_control
    reasons = [
        cell.note,
        *_seed_notes(row, comparison),
        *_reasons(against_base),
        *_reasons(against_control),
    ]
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
        notes=tuple(_number(reason, footnotes) for reason in dict.fromkeys(reasons) if reason),
    )


def _seed_notes(row: RowCells, comparison: Comparison) -> list[str]:
    """Which seeds failed, and where the control has not all of them."""
    if not row.runs:
        return []
    said = [f"data seed {seed} {failure_reason(f)}" for seed, f in row.failures.items()]
    if set(row.for_seeds) - row.runs.keys() - row.failures.keys():
        said.append(f"on data seed {joined(row.runs)} only")
    if row.first.for_every_seed and row.first.train.recipe.budget_tokens and len(row.runs) > 1:
        said.append("trained once, as bases are: its training noise is not included")
    if comparison.control_seeds and len(comparison.control_seeds) < len(row.runs):
        said.append(f"against the control on data seed {joined(comparison.control_seeds)} only")
    return said


def _reasons(lost: Drops) -> list[str]:
    entries: tuple[Entry, ...] = (
        lost.delta_nll,
        lost.perplexity_drop_pct,
        lost.downstream_drop_pct,
        lost.retention,
    )
    return [entry.reason for entry in entries if isinstance(entry, Missing)]


def _number(reason: str, footnotes: list[str]) -> int:
    """The number of the footnote that says `reason`, which joins `footnotes` if it is new."""
    if reason not in footnotes:
        footnotes.append(reason)
    return footnotes.index(reason) + 1


def _paper_drop_pct(cell: ReportCell) -> float | Missing:
    row = words.paper_row(cell)
    if row is None or cell.location not in row.downstream_drop_pct:
        return Missing(reason="the paper has no such cell")
    return row.downstream_drop_pct[cell.location]
