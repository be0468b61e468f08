"""Every cell of a block against its base, against its control, and against the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.drops import Drops, drops, no_drops
from raydistill.outcomes import TrialFailure
from raydistill.report.cells import CONTROL, Measured, ReportBase, ReportCell
from raydistill.statistics import (
    DocumentScores,
    Estimate,
    FloatArray,
    Missing,
    PairedBootstrap,
    not_distinguishable_from_best,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What one cell lost. `best_…`: not distinguishable from the best, by that measure."""

    against_base: Drops
    against_control: Drops
    best_nll: bool
    best_downstream: bool


def compare(
    cells: Sequence[ReportCell], base: ReportBase | None, chance: Mapping[str, float]
) -> tuple[Comparison, ...]:
    """The comparison of each of `cells`, which started at one age and trained alike.

    One bootstrap serves them all. The control is no candidate for the best.

    Args:
        cells: finished or failed.
        base: where they started, or None where it was not evaluated.
        chance: what guessing gives, for every task of the table.
    """
    finished = finished_documents(cells)
    bootstrap = PairedBootstrap.over([*([base.documents] if base else []), *finished.values()])
    before = base.documents if base else Missing(reason="the base of this age was not evaluated")
    against_base = [_against(before, cell, chance, bootstrap) for cell in cells]
    against_control = [_against(_control(cells), cell, chance, bootstrap) for cell in cells]

    candidates = [index for index in finished if cells[index].location != CONTROL]
    by_nll = {
        index: bootstrap.values(finished[index].nll)
        for index in candidates
        if isinstance(against_base[index].delta_nll, Estimate)
    }
    by_tasks = {
        index: -bootstrap.downstream(finished[index], sorted(chance))
        for index in candidates
        if isinstance(against_base[index].downstream_drop_pct, Estimate)
    }
    best_nll, best_tasks = (_best(losses, bootstrap) for losses in (by_nll, by_tasks))
    return tuple(
        Comparison(
            against_base=against_base[index],
            against_control=against_control[index],
            best_nll=index in best_nll,
            best_downstream=index in best_tasks,
        )
        for index in range(len(cells))
    )


def finished_documents(cells: Sequence[ReportCell]) -> dict[int, DocumentScores]:
    """The scores of the finished cells, by their place in `cells`."""
    return {
        index: cell.outcome.documents
        for index, cell in enumerate(cells)
        if isinstance(cell.outcome, Measured)
    }


def _control(cells: Sequence[ReportCell]) -> DocumentScores | Missing:
    for cell in cells:
        if cell.location == CONTROL and isinstance(cell.outcome, Measured):
            return cell.outcome.documents
    return Missing(reason="no control (location none) was finished for this age")


def _against(
    reference: DocumentScores | Missing,
    cell: ReportCell,
    chance: Mapping[str, float],
    bootstrap: PairedBootstrap,
) -> Drops:
    if isinstance(cell.outcome, TrialFailure):
        return no_drops(failure_reason(cell.outcome))
    if isinstance(reference, Missing):
        return no_drops(reference.reason)
    return drops(reference, cell.outcome.documents, chance=chance, bootstrap=bootstrap)


def failure_reason(failure: TrialFailure) -> str:
    """Why a cell failed, in one line."""
    message = failure.message.strip().splitlines() or ["no message"]
    tries = "1 try" if failure.attempts == 1 else f"{failure.attempts} tries"
    return f"failed in {failure.where} after {tries}: {message[0]}"


def _best(losses: Mapping[int, FloatArray], bootstrap: PairedBootstrap) -> frozenset[int]:
    named = {f"{index:06d}": loss_R for index, loss_R in losses.items()}
    inside = not_distinguishable_from_best(named, documents=len(bootstrap.units))
    return frozenset(int(name) for name in inside)
