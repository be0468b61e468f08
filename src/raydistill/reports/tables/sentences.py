"""Sentences below a block: general text, references, seeds, agreement with Table 5."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from raydistill.core.units import format_flops, format_tokens
from raydistill.evaluation.bootstrap import Estimate
from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.planning.axes.change import is_unchanged
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.agreement import TEST
from raydistill.reports.results.blocks import RowBlock, RowCells
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell
from raydistill.reports.results.common_tasks import TableTasks
from raydistill.reports.results.comparison import Comparison, shared_seeds, tied_by_tasks
from raydistill.reports.tables.lengths import in_windows
from raydistill.specs.evaluation import PERPLEXITY, words_of
from raydistill.specs.flops import parameters
from raydistill.specs.trial import TEACHER_FREE


def on_general_text(rows: Sequence[RowCells], base: ReportBase | None) -> list[str]:
    """What rows lost on a second text, as a healing corpus unlike the base's can hide damage.

    One line: nats per token, the mean over the seeds of each row.
    """
    deltas = [(row.name, _general_deltas(row)) for row in rows]
    parts = [f"{name} {fmean(by_seed):+.3f}" for name, by_seed in deltas if by_seed]
    if not parts:
        return []
    level = "" if base is None else _level(base)
    return [f"On the general text, general_delta_nll in nats/token: {', '.join(parts)}{level}."]


def _general_deltas(row: RowCells) -> list[float]:
    results = [cell.outcome.result for cell in row.cells if isinstance(cell.outcome, Measured)]
    pairs = [(result.before.general_nll, result.after.general_nll) for result in results]
    return [
        after - before
        for before, after in pairs
        if not isinstance(before, str) and not isinstance(after, str)
    ]


def _level(base: ReportBase) -> str:
    nll, windows = base.scores.general_nll, in_windows(base.window_tokens)
    if isinstance(nll, str):
        return ""
    level = f"{words_of(PERPLEXITY, base.scores.loss)} {math.exp(min(nll, 700)):.4g}"
    return f"; the base has {level} there{windows}"


MIN_RANKED = 4  # values; fewer have no order worth a coefficient


def paper_row(cell: ReportCell) -> paper.LocationRow | None:
    """The line of Table 5 for the age and share of layers of `cell`, removed at once, LM loss."""
    for row in paper.TABLE_5:
        same_share = row.fits(num_layers=cell.num_layers, removed=cell.count)
        if cell.age == row.age_tokens and same_share:
            like_paper = (
                cell.gap_tokens == 0
                and cell.train.loss == TEACHER_FREE
                and cell.arm in ("", "teacher-free")
                and is_unchanged(cell.values)
            )
            return row if like_paper else None
    return None


def references(block: RowBlock) -> tuple[str, ...]:
    """The size of every reference and of the students."""
    results = [
        cell.outcome.result.trained
        for row in block.candidates
        for cell in row.cells
        if isinstance(cell.outcome, Measured)
    ]
    sizes = sorted({parameters(t.model, t.removed) for t in results})
    students = f"; the students have {joined(map(format_tokens, sizes))}" if sizes else ""
    return tuple(
        f"{row.name} is a reference of {format_tokens(row.first.num_params)} parameters, "
        f"evaluated only{students}."
        for row in block.rows
        if row.first.reference
    )


def teachers(block: RowBlock) -> tuple[str, ...]:
    """The size of every teacher that is another model than its students' base."""
    taught_by = {cell.taught_by: None for row in block.rows for cell in row.cells if cell.taught_by}
    return tuple(
        f"The teacher {t.name} is {t.model}, {t.revision}: {format_tokens(t.num_params)} "
        f"parameters, {t.num_layers} blocks of width {t.dim}, "
        f"{format_flops(t.flops_per_token)} FLOPs a token."
        for t in taught_by
    )


def different_seeds(block: RowBlock) -> tuple[str, ...]:
    """The seeds that decide which row is the best, where not all rows have the same."""
    finished = [row for row in block.candidates if row.runs]
    if len({tuple(row.runs) for row in finished}) < 2:
        return ()
    shared = shared_seeds(finished)
    if not shared:
        return ("No data seed was finished in every row: no row is told apart from the best.",)
    return (
        f"Rows have different data seeds: the best is told on {joined(shared)}, which all have.",
    )


def beside_the_paper(
    rows: Sequence[RowCells], comparisons: Sequence[Comparison], tasks: TableTasks
) -> tuple[str, ...]:
    """Whether Table 5's extremes are ours, and its order, where tasks tell locations apart."""
    drops: dict[str, Estimate] = {}
    paper_drops: dict[str, float] = {}
    by_location: dict[str, RowCells] = {}
    checkpoint = ""
    for row, comparison in zip(rows, comparisons, strict=True):
        line, drop = paper_row(row.first), comparison.against_base.downstream_drop_pct
        location = row.first.location
        if line and isinstance(drop, Estimate) and location in line.downstream_drop_pct:
            drops[location] = drop
            paper_drops[location] = line.downstream_drop_pct[location]
            by_location[location] = row
            checkpoint = line.checkpoint
    if len(drops) < 2:
        return ()
    if tasks.all_at_chance:
        return (
            f"Neither for nor against the paper ({checkpoint}): no task is above chance at every "
            "base, so tasks tell no location from another.",
        )
    locations = {row.name: location for location, row in by_location.items()}
    sentences, tied = [], {}
    for worst in (True, False) if len(drops) > 2 else (True,):  # of two, one implies both
        names = tied_by_tasks(list(by_location.values()), tasks.chance, worst=worst)
        tied[worst] = sorted(locations[name] for name in names)
        sentences.append(_extreme(drops, paper_drops, checkpoint, tied[worst], worst=worst))
    apart = len(drops) - len(tied[True])
    if len(drops) >= MIN_RANKED and apart:
        ours = [drop.value for drop in drops.values()]
        tau = kendall_tau(ours, list(paper_drops.values()))
        sentences.append(
            f"Rank agreement with {checkpoint} over {len(drops)} locations: Kendall tau {tau:+.2f} "
            f"(told apart from the largest loss here: {apart}; much of the paper's own order is "
            "within its noise)."
        )
    return tuple(sentences)


def _extreme(
    drops: Mapping[str, Estimate],
    paper_drops: Mapping[str, float],
    checkpoint: str,
    tied: Sequence[str],
    *,
    worst: bool,
) -> str:
    """Whether the location that loses most (or least) in the paper does so here.

    Args:
        drops: downstream, in percent, by location.
        paper_drops: the same in the paper.
        checkpoint: of the paper.
        tied: the locations that tasks do not tell apart from the most (or least) loss here.
        worst: whether the most is looked at.
    """
    choose, most = (max, "most") if worst else (min, "least")
    theirs = choose(paper_drops, key=lambda location: (paper_drops[location], location))
    ours = choose(drops, key=lambda location: (drops[location].value, location))
    own, other = (round(drops[location].value, 1) + 0.0 for location in (theirs, ours))
    claim = f"{checkpoint}: {theirs} loses {most} downstream, {paper_drops[theirs]:+.2f} %"
    is_loss = not worst or round(drops[theirs].low, 1) > 0
    if tied == [theirs] and is_loss:
        return (
            f"As in the paper ({claim}), it does here, {own:+.1f} %, told apart from all others "
            f"({TEST})."
        )
    if theirs not in tied and (other > own if worst else other < own):
        return (
            f"Unlike the paper ({claim}), here {ours} loses {'more' if worst else 'less'}: "
            f"{other:+.1f} %, {theirs} {own:+.1f} %, told apart ({TEST})."
        )
    ties = joined(sorted({*tied, theirs})) if is_loss or len(tied) > 1 else "no loss at all"
    return (
        f"Neither for nor against the paper ({claim}): here it loses {own:+.1f} %. Not told apart "
        f"from the {most}: {ties} ({TEST})."
    )
