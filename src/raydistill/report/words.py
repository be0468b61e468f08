"""What a table says in sentences: its limits, and where it agrees with the paper or not."""

import itertools
from collections.abc import Sequence

from raydistill.drops import drops
from raydistill.report import paper
from raydistill.report.cells import CONTROL, Measured, ReportCell, SweepReport
from raydistill.report.comparison import Comparison
from raydistill.statistics import (
    MIN_DOCUMENTS,
    Estimate,
    PairedBootstrap,
    above_chance,
    constant_answers,
    kendall_tau,
)
from raydistill.units import format_tokens

MIN_RANKED = 4
"""Fewer values have no order worth a coefficient."""


def warnings(report: SweepReport) -> tuple[str, ...]:
    """What to know before reading any number of the table."""
    said = []
    if report.small_scale:
        said.append("Mechanics at a small scale: do not choose layers for a large model from this.")
    if not report.cells:
        return (*said, "This sweep has no cells.")
    said.append("Intervals: paired bootstrap over held-out documents, training noise not included.")
    if report.searched:
        said.append("Reported on the half of the held-out documents that the search did not see.")
    return (*said, *_documents(report), *_weak_tasks(report), *_devices(report))


def _documents(report: SweepReport) -> list[str]:
    units = {unit for base in report.bases for unit in base.documents.nll.units}
    if not report.bases or len(units) >= MIN_DOCUMENTS:
        return []
    return [f"Only {len(units)} held-out documents: no cell can be told apart from the best."]


def _weak_tasks(report: SweepReport) -> list[str]:
    said = []
    named = {task for base in report.bases for task in base.scores.tasks}
    guessing = sorted(named - set(above_chance(base.scores for base in report.bases)))
    if guessing:
        said.append(
            f"At chance at one of the ages at least, by two standard errors: {', '.join(guessing)}."
        )
    measured = [base.documents for base in report.bases]
    measured += [c.outcome.documents for c in report.cells if isinstance(c.outcome, Measured)]
    constant = constant_answers(measured)
    if constant:
        said.append(
            f"The same right answers before and after every removal, as of a model that always "
            f"gives one answer: {', '.join(constant)}."
        )
    return said


def _devices(report: SweepReport) -> list[str]:
    made = {
        (outcome.result.trained.made_by.world_size, outcome.result.trained.made_by.device)
        for outcome in (cell.outcome for cell in report.cells)
        if isinstance(outcome, Measured)
    }
    if len(made) < 2:
        return []
    kinds = ", ".join(f"{count} x {device}" for count, device in sorted(made))
    return [f"Trained on different devices ({kinds}): bits are promised for one kind only."]


def paper_row(cell: ReportCell) -> paper.LocationRow | None:
    """The line of Table 5 that asked the same as `cell`: age, share of layers, all at once, LM."""
    for row in paper.TABLE_5:
        same_share = row.fits(num_layers=cell.num_layers, removed=len(cell.layers))
        if cell.age == row.age_tokens and same_share:
            return row if cell.gap_tokens == 0 and cell.train.loss == "lm" else None
    return None


def beside_the_paper(
    cells: Sequence[ReportCell], comparisons: Sequence[Comparison]
) -> tuple[str, ...]:
    """Where the order of the locations agrees with Table 5, and where it contradicts it."""
    here: dict[str, float] = {}
    theirs: dict[str, float] = {}
    checkpoint = ""
    for cell, comparison in zip(cells, comparisons, strict=True):
        row, lost = paper_row(cell), comparison.against_base.downstream_drop_pct
        if row and isinstance(lost, Estimate) and cell.location in row.downstream_drop_pct:
            here[cell.location] = lost.value
            theirs[cell.location] = row.downstream_drop_pct[cell.location]
            checkpoint = row.checkpoint
    if len(here) < 2:
        return ()
    by_location = {cell.location: cell for cell in cells}
    said = [
        _extreme(here, theirs, by_location, checkpoint, largest=largest)
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
    cells: dict[str, ReportCell],
    checkpoint: str,
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
    tell = "tell" if _told_apart(cells[ours], cells[printed]) else "do not tell"
    return (
        f"Unlike the paper ({checkpoint}: {printed} loses {least_or_most} downstream, "
        f"{theirs[printed]:+.2f} %), here {ours} does: {here[ours]:+.1f} %, {printed} "
        f"{here[printed]:+.1f} %; these documents {tell} the two apart."
    )


def _told_apart(left: ReportCell, right: ReportCell) -> bool:
    """Whether the 95 % interval of the difference in downstream score excludes 0."""
    if not (isinstance(left.outcome, Measured) and isinstance(right.outcome, Measured)):
        return False
    before, after = left.outcome.documents, right.outcome.documents
    guess = dict.fromkeys(before.tasks, 0.0)
    both = PairedBootstrap.over([before, after])
    lost = drops(before, after, chance=guess, bootstrap=both).downstream_drop_pct
    return isinstance(lost, Estimate) and not lost.low <= 0 <= lost.high


def healing(cells: Sequence[ReportCell]) -> tuple[str, ...]:
    """Whether the order of the locations during healing is that at its end."""
    curves = {
        cell.name: {point.tokens: point.nll for point in cell.outcome.result.trained.heldout_curve}
        for cell in cells
        if isinstance(cell.outcome, Measured) and cell.location != CONTROL
    }
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
