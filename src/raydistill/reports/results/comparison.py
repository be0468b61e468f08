"""Every row of a block against its base, against its control, and against the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.evaluation.bootstrap import (
    Estimate,
    FloatArray,
    Missing,
    PairedBootstrap,
    not_distinguishable_from_best,
)
from raydistill.evaluation.performance_drops import (
    Drops,
    Runs,
    drops,
    mean_nll,
    mean_score,
    no_drops,
)
from raydistill.reports.results.blocks import RowCells
from raydistill.reports.results.cells import ReportBase
from raydistill.reports.results.controls import control_runs
from raydistill.specs.results import TrialFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What one row lost; against the control over `control_seeds`, which both have.

    `best_…`: not distinguishable from the best, by that measure.
    """

    against_base: Drops
    against_control: Drops
    control_seeds: tuple[int, ...]
    best_nll: bool
    best_downstream: bool


def compare(
    rows: Sequence[RowCells], base: ReportBase | None, chance: Mapping[str, float]
) -> tuple[Comparison, ...]:
    """The comparison of each row of a block.

    One bootstrap serves them all. Controls and references are no candidates for the best.

    Args:
        rows: finished or failed.
        base: where they started, or None where it was not evaluated.
        chance: what guessing gives, for every task of the table.
    """
    runs = [run for row in rows for run in row.runs.values()]
    bootstrap = PairedBootstrap.over([*([base.documents] if base else []), *runs])
    against_base = [_against(_base_runs(base, row), row, chance, bootstrap) for row in rows]
    controls = [_control_runs(row, rows) for row in rows]
    against_control = [
        _against(control, row, chance, bootstrap)
        for control, row in zip(controls, rows, strict=True)
    ]
    best_by_nll, best_by_tasks = _best(rows, against_base, sorted(chance), bootstrap)
    return tuple(
        Comparison(
            against_base=against_base[index],
            against_control=against_control[index],
            control_seeds=() if isinstance(control, Missing) else tuple(sorted(control)),
            best_nll=index in best_by_nll,
            best_downstream=index in best_by_tasks,
        )
        for index, control in enumerate(controls)
    )


def shared_seeds(rows: Sequence[RowCells]) -> tuple[int, ...]:
    """The data seeds that all of `rows` finished; rows without any do not count."""
    seeds = [set(row.runs) for row in rows if row.runs]
    return tuple(sorted(set.intersection(*seeds))) if seeds else ()


def _on_seeds(row: RowCells, seeds: Sequence[int]) -> Runs:
    """The runs of a row on some of its seeds."""
    runs = row.runs
    return {seed: runs[seed] for seed in seeds}


def drops_between(reference: RowCells, row: RowCells, chance: Mapping[str, float]) -> Drops:
    """What `row` lost against another row, on the data seeds that both finished."""
    seeds = sorted(reference.runs.keys() & row.runs.keys())
    if not seeds:
        return no_drops("no data seed was finished in both")
    before, after = _on_seeds(reference, seeds), _on_seeds(row, seeds)
    bootstrap = PairedBootstrap.over([*before.values(), *after.values()])
    return drops(before, after, chance=chance, bootstrap=bootstrap)


def failure_reason(failure: TrialFailure) -> str:
    """Why a cell failed, in one line."""
    message = failure.message.strip().splitlines() or ["no message"]
    tries = "1 try" if failure.attempts == 1 else f"{failure.attempts} tries"
    return f"failed in {failure.where} after {tries}: {message[0]}"


def _base_runs(base: ReportBase | None, row: RowCells) -> Runs | Missing:
    if base is None:
        return Missing(reason="the base of this age was not evaluated")
    return dict.fromkeys(row.runs, base.documents)


def _control_runs(row: RowCells, rows: Sequence[RowCells]) -> Runs | Missing:
    """The control's run on each seed that the row has too; a reference has the block's control."""
    of_block = next((other for other in rows if other.role == "candidate"), rows[0])
    cell = of_block.first if row.first.reference else row.first
    runs = control_runs(cell, [candidate for other in rows for candidate in other.cells])
    if not runs:
        return Missing(reason="no control (location none) was finished for this age and schedule")
    shared = sorted(runs.keys() & row.runs.keys())
    if not shared and row.runs:
        return Missing(reason="no control was finished with the same data seed")
    return {seed: runs[seed].documents for seed in shared}


def _against(
    reference: Runs | Missing,
    row: RowCells,
    chance: Mapping[str, float],
    bootstrap: PairedBootstrap,
) -> Drops:
    if not row.runs:
        return no_drops(failure_reason(next(iter(row.failures.values()))))
    if isinstance(reference, Missing):
        return no_drops(reference.reason)
    return drops(reference, _on_seeds(row, tuple(reference)), chance=chance, bootstrap=bootstrap)


def _best(
    rows: Sequence[RowCells],
    against_base: Sequence[Drops],
    tasks: Sequence[str],
    bootstrap: PairedBootstrap,
) -> tuple[frozenset[int], frozenset[int]]:
    """The indices of the rows not distinguishable from the best, by loss and by tasks."""
    candidates = {i: row for i, row in enumerate(rows) if row.role == "candidate"}
    with_nll = [i for i in candidates if isinstance(against_base[i].delta_nll, Estimate)]
    with_tasks = [
        i for i in candidates if isinstance(against_base[i].downstream_drop_pct, Estimate)
    ]
    seeds = shared_seeds(list(candidates.values()))
    if len(candidates) < 2:
        return frozenset(), frozenset()
    if not seeds:
        return frozenset(with_nll), frozenset(with_tasks)
    by_nll = {i: mean_nll(_on_seeds(rows[i], seeds), bootstrap) for i in with_nll}
    by_tasks = {i: -mean_score(_on_seeds(rows[i], seeds), tasks, bootstrap) for i in with_tasks}
    return _best_set(by_nll, bootstrap), _best_set(by_tasks, bootstrap)


def _best_set(losses: Mapping[int, FloatArray], bootstrap: PairedBootstrap) -> frozenset[int]:
    by_name = {f"{index:06d}": loss_R for index, loss_R in losses.items()}
    best = not_distinguishable_from_best(by_name, documents=len(bootstrap.units))
    return frozenset(map(int, best))
