"""Sentences below a block: general text, references, seeds, agreement with Table 5, healing."""

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Estimate
from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowBlock, RowCells
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell
from raydistill.reports.results.comparison import Comparison, drops_between, shared_seeds
from raydistill.specs.flops import parameters
from raydistill.specs.results import Scores
from raydistill.specs.trial import TEACHER_FREE


def on_general_text(rows: Sequence[RowCells], base: ReportBase | None) -> list[str]:
    """What rows lost on a second text, as a healing corpus unlike the base's can hide damage.

    One line: nats per token, the mean over the seeds of each row.
    """
    deltas = [(row.name, _general_deltas(row)) for row in rows]
    parts = [f"{name} {fmean(by_seed):+.3f}" for name, by_seed in deltas if by_seed]
    if not parts:
        return []
    level = "" if base is None else _level(base.scores)
    return [f"On the general text, general_delta_nll in nats/token: {', '.join(parts)}{level}."]


def _general_deltas(row: RowCells) -> list[float]:
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


MIN_RANKED = 4  # values; fewer have no order worth a coefficient


def paper_row(cell: ReportCell) -> paper.LocationRow | None:
    """The line of Table 5 for the age and share of layers of `cell`, removed at once, LM loss."""
    for row in paper.TABLE_5:
        same_share = row.fits(num_layers=cell.num_layers, removed=len(cell.layers))
        if cell.age == row.age_tokens and same_share:
            like_paper = cell.gap_tokens == 0 and cell.train.loss == TEACHER_FREE
            return row if like_paper and cell.arm in ("", "teacher-free") else None
    return None


def references(block: RowBlock) -> tuple[str, ...]:
    """The size of every reference and of the students."""
    results = [
        cell.outcome.result.trained
        for row in block.candidates
        for cell in row.cells
        if isinstance(cell.outcome, Measured)
    ]
    sizes = sorted({parameters(t.model, t.model.num_layers - len(t.kept)) for t in results})
    students = f"; the students have {joined(map(format_tokens, sizes))}" if sizes else ""
    return tuple(
        f"{row.name} is a reference of {format_tokens(row.first.num_params)} parameters, "
        f"evaluated only{students}."
        for row in block.rows
        if row.first.reference
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
    rows: Sequence[RowCells], comparisons: Sequence[Comparison], chance: Mapping[str, float]
) -> tuple[str, ...]:
    """Where the order of the locations agrees with Table 5, and where it contradicts it."""
    drops: dict[str, float] = {}
    paper_drops: dict[str, float] = {}
    by_location: dict[str, RowCells] = {}
    checkpoint = ""
    for row, comparison in zip(rows, comparisons, strict=True):
        line, drop = paper_row(row.first), comparison.against_base.downstream_drop_pct
        location = row.first.location
        if line and isinstance(drop, Estimate) and location in line.downstream_drop_pct:
            drops[location] = drop.value
            paper_drops[location] = line.downstream_drop_pct[location]
            by_location[location] = row
            checkpoint = line.checkpoint
    if len(drops) < 2:
        return ()
    sentences = [
        _extreme(drops, paper_drops, checkpoint, by_location, chance, largest=largest)
        for largest in ((True, False) if len(drops) > 2 else (True,))  # of two, one implies both
    ]
    if len(drops) >= MIN_RANKED:
        tau = kendall_tau(list(drops.values()), list(paper_drops.values()))
        sentences.append(
            f"Rank agreement with {checkpoint} over {len(drops)} locations: Kendall tau {tau:+.2f} "
            f"(much of the paper's own order is within its noise)."
        )
    return tuple(sentences)


def _extreme(
    drops: dict[str, float],
    paper_drops: dict[str, float],
    checkpoint: str,
    rows: Mapping[str, RowCells],
    chance: Mapping[str, float],
    *,
    largest: bool,
) -> str:
    choose, least_or_most = (max, "most") if largest else (min, "least")
    ours = choose(drops, key=lambda location: (drops[location], location))
    theirs = choose(paper_drops, key=lambda location: (paper_drops[location], location))
    if ours == theirs:
        return (
            f"As in the paper ({checkpoint}), {ours} loses {least_or_most} downstream: "
            f"{drops[ours]:+.1f} % (paper {paper_drops[ours]:+.2f} %)."
        )
    # The 95 % interval of the difference in mean score, on shared seeds.
    difference = drops_between(rows[ours], rows[theirs], chance).downstream_drop_pct
    apart = isinstance(difference, Estimate) and not difference.low <= 0 <= difference.high
    return (
        f"Unlike the paper ({checkpoint}: {theirs} loses {least_or_most} downstream, "
        f"{paper_drops[theirs]:+.2f} %), here {ours} does: {drops[ours]:+.1f} %, {theirs} "
        f"{drops[theirs]:+.1f} %; the intervals {'tell' if apart else 'do not tell'} the two apart."
    )


def healing(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Whether the order of the candidates during healing is that at its end."""
    curves = {row.name: row.curve for row in rows if row.role == "candidate" and row.curve}
    points = sorted(set.intersection(*map(set, curves.values()))) if curves else []
    healed = points[1:]  # the first is before any healing
    if len(curves) < 2 or len(healed) < 2:
        return ()
    since, end = format_tokens(healed[0]), healed[-1]
    last_ahead = {
        (loser, winner): max((n for n in healed if curves[loser][n] < curves[winner][n]), default=0)
        for loser, winner in itertools.permutations(curves, 2)
        if curves[loser][end] > curves[winner][end]
    }
    crossed = [pair for pair, tokens in last_ahead.items() if tokens]
    if not crossed:
        return (f"No two healing curves cross after {since} tokens.",)
    loser, winner = max(crossed, key=lambda pair: curves[pair[0]][end] - curves[pair[1]][end])
    return (
        f"Healing curves cross after {since} tokens for {len(crossed)} of {len(last_ahead)} pairs: "
        f"{loser} was ahead of {winner} as late as {format_tokens(last_ahead[loser, winner])} "
        f"tokens and ends {curves[loser][end] - curves[winner][end]:.3f} nats behind (points of a "
        f"curve carry no interval). A short healing does not give the order of a long one.",
    )
