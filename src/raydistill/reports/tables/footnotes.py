"""Footnotes of a table: the legend of the star, and why a row or an entry is as it is."""

from collections.abc import Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Entry, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.results.blocks import RowCells
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.comparison import Comparison, failure_reason

BEST = "*"
LEGEND = (
    "Positive is worse. [95 % interval]. * not distinguishable from the best of its table "
    "(paired bootstrap, Holm, 5 %; control and base are no candidates)."
)


def footnotes_of(row: RowCells, comparison: Comparison, rows: Sequence[RowCells]) -> list[str]:
    """What is to be said of a row among the `rows` of its block, each text once."""
    texts = [
        row.first.note,
        *_shared_trials(row, rows),
        *_seed_notes(row, comparison),
        *_reasons(comparison.against_base),
        *_reasons(comparison.against_control),
    ]
    return [text for text in dict.fromkeys(texts) if text]


def _shared_trials(row: RowCells, rows: Sequence[RowCells]) -> list[str]:
    """The rows that mean the same work, and so have the same numbers."""
    trials = {cell.trial_id for cell in row.cells}
    same = [
        other.name
        for other in rows
        if other is not row and any(cell.trial_id in trials for cell in other.cells)
    ]
    return [f"the same trial as {joined(same)}"] if same else []


def _seed_notes(row: RowCells, comparison: Comparison) -> list[str]:
    """Seeds that failed, and those that the control does not have."""
    if not row.runs:
        return []
    notes = [f"data seed {seed} {failure_reason(f)}" for seed, f in row.failures.items()]
    if set(row.for_seeds) - row.runs.keys() - row.failures.keys():
        notes.append(f"on data seed {joined(row.runs)} only")
    if row.first.for_every_seed and row.first.train.recipe.budget_tokens and len(row.runs) > 1:
        notes.append("trained once, as bases are: its training noise is not included")
    tokens, own = comparison.control_tokens, row.first.train.recipe.budget_tokens
    if tokens and tokens != own and not row.first.beside:
        notes.append(f"against a control on {format_tokens(tokens)} tokens")
    if comparison.control_seeds and len(comparison.control_seeds) < len(row.runs):
        notes.append(f"against the control on data seed {joined(comparison.control_seeds)} only")
    return notes


def _reasons(drops: Drops) -> list[str]:
    """Why an entry is missing."""
    entries: tuple[Entry, ...] = (
        drops.delta_nll,
        drops.perplexity_drop_pct,
        drops.downstream_drop_pct,
        drops.retention,
    )
    return [entry.reason for entry in entries if isinstance(entry, Missing)]


def footnote_number(reason: str, footnotes: list[str]) -> int:
    """The number of the footnote with this text, which joins `footnotes` if it is new."""
    if reason not in footnotes:
        footnotes.append(reason)
    return footnotes.index(reason) + 1


def footnote_lines(footnotes: Sequence[str]) -> list[str]:
    """The footnotes, numbered as the rows refer to them."""
    return [f"({number}) {text}" for number, text in enumerate(footnotes, start=1)]
