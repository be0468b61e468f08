"""What was lost on a second, general text: a corpus that is not the base's can hide damage."""

import itertools
import math
from collections.abc import Mapping, Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Estimate, PairedBootstrap
from raydistill.evaluation.performance_drops import drops
from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowBlock, RowCells
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell
from raydistill.reports.results.comparison import Comparison, over, shared_seeds
from raydistill.specs.flops import parameters
from raydistill.specs.results import Scores
from raydistill.specs.trial import TEACHER_FREE


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


MIN_RANKED = 4
"""Fewer values have no order worth a coefficient."""


def paper_row(cell: ReportCell) -> paper.LocationRow | None:
    """The line of Table 5 that asked the same as `cell`: age, share of layers, all at once, LM."""
    for row in paper.TABLE_5:
        same_share = row.fits(num_layers=cell.num_layers, removed=len(cell.layers))
        if cell.age == row.age_tokens and same_share:
            as_there = cell.gap_tokens == 0 and cell.train.loss == TEACHER_FREE
            return row if as_there and cell.arm in ("", "teacher-free") else None
    return None


def references(block: RowBlock) -> tuple[str, ...]:
    """The size of every reference beside that of the students."""
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
    """On which seeds rows are told apart, where not all have the same."""
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
    here: dict[str, float] = {}
    theirs: dict[str, float] = {}
    by_location: dict[str, RowCells] = {}
    checkpoint = ""
    for row, comparison in zip(rows, comparisons, strict=True):
        printed, lost = paper_row(row.first), comparison.against_base.downstream_drop_pct
        location = row.first.location
        if printed and isinstance(lost, Estimate) and location in printed.downstream_drop_pct:
            here[location] = lost.value
            theirs[location] = printed.downstream_drop_pct[location]
            by_location[location] = row
            checkpoint = printed.checkpoint
    if len(here) < 2:
        return ()
    said = [
        _extreme(here, theirs, checkpoint, by_location, chance, largest=largest)
        for largest in ((True, False) if len(here) > 2 else (True,))  # two say one thing
    ]
    if len(here) >= MIN_RANKED:
        tau = kendall_tau(list(here.values()), list(theirs.values()))
        said.append(
            f"Rank agreement with {checkpoint} over {len(here)} locations: Kendall tau {tau:+.2f} "
            f"(much of the paper's own order is within its noise)."
        )
    return tuple(said)


def _extreme(
    here: dict[str, float],
    theirs: dict[str, float],
    checkpoint: str,
    rows: Mapping[str, RowCells],
    chance: Mapping[str, float],
    *,
    largest: bool,
) -> str:
    choose, least_or_most = (max, "most") if largest else (min, "least")
    ours = choose(here, key=lambda location: (here[location], location))
    printed = choose(theirs, key=lambda location: (theirs[location], location))
    if ours == printed:
        return (
            f"As in the paper ({checkpoint}), {ours} loses {least_or_most} downstream: "
            f"{here[ours]:+.1f} % (paper {theirs[ours]:+.2f} %)."
        )
    tell = "tell" if _told_apart(rows[ours], rows[printed], chance) else "do not tell"
    return (
        f"Unlike the paper ({checkpoint}: {printed} loses {least_or_most} downstream, "
        f"{theirs[printed]:+.2f} %), here {ours} does: {here[ours]:+.1f} %, {printed} "
        f"{here[printed]:+.1f} %; the intervals {tell} the two apart."
    )


def _told_apart(left: RowCells, right: RowCells, chance: Mapping[str, float]) -> bool:
    """Whether the 95 % interval of the difference in mean score excludes 0, on shared seeds."""
    seeds = shared_seeds([left, right])
    if not seeds:
        return False
    before, after = over(left, seeds), over(right, seeds)
    both = PairedBootstrap.over([*before.values(), *after.values()])
    lost = drops(before, after, chance=chance, bootstrap=both).downstream_drop_pct
    return isinstance(lost, Estimate) and not lost.low <= 0 <= lost.high


def healing(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Whether the order of the candidates during healing is that at its end."""
    curves = {row.name: row.curve for row in rows if row.role == "candidate" and row.curve}
    points = sorted(set.intersection(*map(set, curves.values()))) if curves else []
    healed = points[1:]  # the first is before any healing
    if len(curves) < 2 or len(healed) < 2:
        return ()
    since, end = format_tokens(healed[0]), healed[-1]
    last_ahead = {
        (loser, winner): max(
            (at for at in healed if curves[loser][at] < curves[winner][at]), default=0
        )
        for loser, winner in itertools.permutations(curves, 2)
        if curves[loser][end] > curves[winner][end]
    }
    crossed = [pair for pair, at in last_ahead.items() if at]
    if not crossed:
        return (f"No two healing curves cross after {since} tokens.",)
    loser, winner = max(crossed, key=lambda pair: curves[pair[0]][end] - curves[pair[1]][end])
    return (
        f"Healing curves cross after {since} tokens for {len(crossed)} of {len(last_ahead)} pairs: "
        f"{loser} was ahead of {winner} as late as {format_tokens(last_ahead[loser, winner])} "
        f"tokens and ends {curves[loser][end] - curves[winner][end]:.3f} nats behind (points of a "
        f"curve carry no interval). A short healing does not give the order of a long one.",
    )
