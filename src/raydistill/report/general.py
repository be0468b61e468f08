"""What was lost on a second, general text: a corpus that is not the base's can hide damage."""

import math
from collections.abc import Sequence

from raydistill.outcomes import Scores
from raydistill.report.blocks import RowCells
from raydistill.report.cells import Measured, ReportBase


def on_general_text(rows: Sequence[RowCells], base: ReportBase | None) -> list[str]:
    """One line for a block: nats per token that each row lost there, the mean over its seeds."""
    lost = [(row.name, _lost(row)) for row in rows]
    said = [f"{name} {sum(each) / len(each):+.3f}" for name, each in lost if each]
    if not said:
        return []
    level = "" if base is None else _level(base.scores)
    return [f"On the general text, general_delta_nll in nats/token: {', '.join(said)}{level}."]


def _lost(row: RowCells) -> list[float]:
    results = [cell.outcome.result for cell in row.cells if isinstance(cell.outcome, Measured)]
    pairs = [(result.before.general_nll, result.after.general_nll) for result in results]
    return [
        after - before
        for before, after in pairs
        if not isinstance(before, str) and not isinstance(after, str)
    ]


def _level(scores: Scores) -> str:
    if isinstance(scores.general_nll, str):
        return ""
    return f"; the base has perplexity {math.exp(min(scores.general_nll, 700)):.4g} there"
