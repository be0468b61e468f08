"""The title of a table and of its blocks: what their rows have in common."""

import math
from collections.abc import Mapping

from raydistill.core.units import format_tokens
from raydistill.reports.results.blocks import RowBlock, age_text
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import ReportBase, SweepReport
from raydistill.reports.results.common_tasks import first_look
from raydistill.reports.tables.lengths import in_windows
from raydistill.specs.evaluation import PERPLEXITY, words_of

MOST = 8  # scales in a title


def table_title(report: SweepReport) -> str:
    """The question, the sweep, and how much training the bases had for their size."""
    ratios = sorted(base.tokens_per_parameter for base in report.bases if base.age_tokens)
    ends = dict.fromkeys(f"{ratio:.2g}" for ratio in (ratios[:1] + ratios[-1:]))
    tokens = " to ".join(ends) or "unknown"
    names = list(dict.fromkeys([c.scale for c in report.cells if not c.beside] or [report.scale]))
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    scales = joined([*names[:MOST], *more])
    few = f"; {mark}" if (mark := first_look(report)) else ""
    return f"{report.question}\n{report.sweep}, scale {scales}: {tokens} tokens per parameter{few}"


def block_title(
    block: RowBlock, base: ReportBase | None, chance: Mapping[str, float], *, sizes: bool
) -> str:
    """What the rows of a block have in common, and the scores of their base.

    Args:
        block: of the table.
        base: that its rows start from, or None where it was not evaluated.
        chance: score of guessing, by task of the table.
        sizes: whether the table has models of several sizes.
    """
    cell = block.first
    size = f"{cell.scale}, {format_tokens(cell.num_params)} parameters, age" if sizes else "Age"
    own = f" (here {_pretraining(base)})" if base and base.age_tokens else ""
    parts = [f"{size} {age_text(cell)}{own}", *_removal(block), _healing(block), _seeds(block)]
    level = f"; the base has {_level(base, chance)}" if base else ""
    return f"{', '.join(parts)}{level}"


def base_level(base: ReportBase | None, chance: Mapping[str, float]) -> str:
    """How much training a base had, and its scores."""
    return f"{_pretraining(base)}; {_level(base, chance)}" if base else "not evaluated"


def _pretraining(base: ReportBase) -> str:
    if not base.age_tokens:  # a revision
        return f"{format_tokens(base.num_params)} parameters"
    return f"{format_tokens(base.age_tokens)} tokens, {base.tokens_per_parameter:.2g} a parameter"


def _removal(block: RowBlock) -> list[str]:
    removed = f"{block.count} of {block.first.num_layers} layers removed"
    return [*([removed] if block.count else []), *block.common]


def _healing(block: RowBlock) -> str:
    if block.mixed_budgets:
        return f"tokens of healing by row{' (equal FLOPs)' if block.equal_flops else ''}"
    return f"{format_tokens(block.first.train.recipe.budget_tokens)} tokens of healing"


def _seeds(block: RowBlock) -> str:
    seeds = block.rows[0].for_seeds
    return f"data seed{'s' if len(seeds) > 1 else ''} {joined(seeds)}"


def _level(base: ReportBase, chance: Mapping[str, float]) -> str:
    """Perplexity, in which windows, and mean task score of a base."""
    scores, windows = base.scores, in_windows(base.window_tokens)
    level = f"{words_of(PERPLEXITY, scores.loss)} {math.exp(min(scores.nll, 700)):.4g}{windows}"
    parts = [level] if math.isfinite(scores.nll) else []
    if chance and chance.keys() <= scores.tasks.keys():
        mean = sum(scores.tasks[task].value for task in chance) / len(chance)
        parts.append(f"a mean task score of {mean:.3f}")
    return " and ".join(parts) or "no scores"
