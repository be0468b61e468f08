"""The table of a sweep, in Table 5's order: what every cell lost, how surely, beside the paper.

`build_table` decides everything that is said; `terminal.py` and `markdown.py` only set it.
A block holds cells of one age, budget, corpus and data seed, so these never mix.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raydistill.drops import Drops
from raydistill.outcomes import Scores
from raydistill.report import paper, words
from raydistill.report.cells import CONTROL, Measured, ReportBase, ReportCell, Role, SweepReport
from raydistill.report.comparison import Comparison, compare
from raydistill.statistics import Entry, Missing
from raydistill.units import format_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The cells that differ in their data seed alone, taken together over `seeds`.

    `best_…`: not distinguishable from the best of its block, by that measure.
    """

    name: str
    role: Role
    location: str
    seeds: tuple[int, ...]  # finished ones; one alone leaves training noise out
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

    The arms of a comparison of methods stand together whatever their budget; then `mixed_budgets`
    and every row shows its own. `words` says what stands out.
    """

    label: str  # the shortest that tells the blocks of a table apart: `320B`, `320B, count 4`
    scale: str
    num_params: int  # of the model before anything leaves
    age: str
    count: int  # layers that leave, of every candidate
    seeds: tuple[int, ...]  # that all candidates have: on these they are told apart
    mixed_budgets: bool
    paper_checkpoint: str  # empty where Table 5 has no such line
    title: str
    rows: tuple[Row, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Everything the report of a sweep says; `codec.to_json` writes it."""

    title: str
    warnings: tuple[str, ...]
    tasks: tuple[str, ...]  # every downstream mean of the table is over these
    columns: tuple[str, ...]  # names of all rows, in Table 5's order
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]


def build_table(report: SweepReport) -> Table:
    """The table of a sweep. Whatever is missing becomes a “–” with a footnote."""
    chance = _chance(report)
    bases = {(base.scale, base.age): base for base in report.bases}
    footnotes: list[str] = []
    blocks = tuple(
        _block(cells, bases.get((cells[0].scale, cells[0].age)), chance, footnotes)
        for cells in alike(report.cells)
    )
    return Table(
        title=_title(report),
        warnings=words.warnings(report),
        tasks=tuple(sorted(chance)),
        columns=tuple(dict.fromkeys(cell.name for cell in sorted(report.cells, key=_place))),
        blocks=blocks,
        footnotes=tuple(footnotes),
    )


def _title(report: SweepReport) -> str:
    ratios = sorted(base.tokens_per_parameter for base in report.bases)
    ends = dict.fromkeys(f"{ratio:.2g}" for ratio in (ratios[:1] + ratios[-1:]))
    trained = " to ".join(ends) or "unknown"
    return (
        f"{report.question}\n{report.sweep}, scale {report.scale}: {trained} tokens per parameter"
    )


def _chance(report: SweepReport) -> dict[str, float]:
    """What guessing gives, for every task anything was scored on: one set for all rows."""
    finished = [cell.outcome for cell in report.cells if isinstance(cell.outcome, Measured)]
    scores = [outcome.result.after for outcome in finished] + [b.scores for b in report.bases]
    return {name: task.chance for each in scores for name, task in each.tasks.items()}


def alike(cells: Iterable[ReportCell]) -> list[list[ReportCell]]:
    """Cells that may stand in one block, each block in Table 5's order."""
    blocks: dict[object, list[ReportCell]] = {}
    for cell in cells:
        train = cell.train
        text = (train.corpus_sha256, train.tokenizer_sha256)
        key = (cell.age, train.recipe.budget_tokens, train.seed, text)
        blocks.setdefault(key, []).append(cell)
    return [sorted(block, key=_place) for block in blocks.values()]


def _place(cell: ReportCell) -> tuple[int, str]:
    """Table 5's columns, then data-driven and explicit locations, random sets, the control."""
    if cell.location in paper.LOCATIONS:
        return paper.LOCATIONS.index(cell.location), cell.name
    last = len(paper.LOCATIONS)
    if cell.location == CONTROL:
        return last + 2, cell.name
    return last + cell.location.startswith("random"), cell.name


def _block(
    cells: Sequence[ReportCell],
    base: ReportBase | None,
    chance: Mapping[str, float],
    footnotes: list[str],
) -> Block:
    comparisons = compare(cells, base, chance)
    checkpoints = [row.checkpoint for row in map(words.paper_row, cells) if row]
    return Block(
        label=age_text(cells[0]),
        scale=cells[0].scale,
        num_params=cells[0].num_params,
        age=age_text(cells[0]),
        count=max(len(cell.layers) for cell in cells),
        seeds=(cells[0].train.seed,),
        mixed_budgets=False,
        paper_checkpoint=checkpoints[0] if checkpoints else "",
        title=_block_title(cells[0], base),
        rows=tuple(
            _row(cell, comparison, footnotes)
            for cell, comparison in zip(cells, comparisons, strict=True)
        ),
        words=(*words.beside_the_paper(cells, comparisons), *words.healing(cells)),
    )


def age_text(cell: ReportCell) -> str:
    """The age of a cell as people write it: `320B`, or a revision."""
    return format_tokens(cell.age) if isinstance(cell.age, int) else cell.age


def _block_title(cell: ReportCell, base: ReportBase | None) -> str:
    budget = format_tokens(cell.train.recipe.budget_tokens)
    healed = f"{budget} tokens of healing, data seed {cell.train.seed}"
    if base is None:
        return f"Age {age_text(cell)}, {healed}"
    seen = f"{format_tokens(base.age_tokens)} tokens, {base.tokens_per_parameter:.2g} a parameter"
    return f"Age {age_text(cell)} (here {seen}), {healed}; the base has {_level(base.scores)}"


def _level(scores: Scores) -> str:
    """Where a set of weights stands, in absolute numbers."""
    said = [f"perplexity {math.exp(scores.nll):.4g}"] if math.isfinite(scores.nll) else []
    if scores.tasks:
        said.append(f"a mean task score of {scores.downstream:.3f}")
    return " and ".join(said) or "no scores"


def _row(cell: ReportCell, comparison: Comparison, footnotes: list[str]) -> Row:
    against_base, against_control = comparison.against_base, comparison.against_control
    reasons = [cell.note, *_reasons(against_base), *_reasons(against_control)]
    return Row(
        name=cell.name,
        role=cell.role,
        location=cell.location,
        seeds=(cell.train.seed,) if isinstance(cell.outcome, Measured) else (),
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


def _reasons(lost: Drops) -> list[str]:
    entries: tuple[Entry, ...] = (
        lost.delta_nll,
        lost.perplexity_drop_pct,
        lost.downstream_drop_pct,
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
