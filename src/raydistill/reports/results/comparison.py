"""Every row of a block against its base, against its control, and against the best."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from raydistill.core.progress import tracked
from raydistill.evaluation.bootstrap import (
    DocumentScores,
    Estimate,
    FloatArray,
    Missing,
    PairedBootstrap,
    estimate,
    not_distinguishable_from_best,
    resampled,
    told_apart,
)
from raydistill.evaluation.performance_drops import (
    Drops,
    Runs,
    drops,
    mean_nll,
    mean_score,
    no_drops,
    same_items,
)
from raydistill.reports.results.blocks import RowCells
from raydistill.reports.results.cells import CANDIDATES, ReportBase
from raydistill.reports.results.common_tasks import TableTasks
from raydistill.reports.results.controls import control_runs
from raydistill.specs.results import TrialFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What one row lost; against the control over `control_seeds`, which both have.

    `control_tokens` is the budget of the control, 0 without one: by design it may be another.
    `best_…`: not distinguishable from the best, by that measure, against the base; so too against
    the control where `one_control` is that of all candidates.
    """

    against_base: Drops
    against_control: Drops
    control_seeds: tuple[int, ...]
    control_tokens: int
    one_control: bool
    best_nll: bool
    best_downstream: bool


def compare(
    rows: Sequence[RowCells], base: ReportBase | None, tasks: TableTasks
) -> tuple[Comparison, ...]:
    """The comparison of each row of a block.

    One bootstrap serves them all. Controls and references are no candidates for the best. Tasks at
    chance tell no row from the best.

    Args:
        rows: finished or failed.
        base: where they started, or None where it was not evaluated.
        tasks: of the table.
    """
    chance = tasks.chance
    runs = [run for row in rows for run in row.runs.values()]
    bootstrap = PairedBootstrap.over([*([base.documents] if base else []), *runs])
    controls = [_control_runs(row, rows) for row in rows]
    against_base, against_control = [], []
    for row, control in tracked(list(zip(rows, controls, strict=True)), "", "rows"):
        against_base.append(_against(_base_runs(base, row), row, chance, bootstrap))
        against_control.append(_against(control, row, chance, bootstrap))
    best_by_nll, best_by_tasks = _best(rows, against_base, tasks, bootstrap)
    one_control = _is_one([c for r, c in zip(rows, controls, strict=True) if r.role in CANDIDATES])
    return tuple(
        Comparison(
            against_base=against_base[index],
            against_control=against_control[index],
            control_seeds=() if isinstance(control, Missing) else tuple(sorted(control)),
            control_tokens=0 if isinstance(control, Missing) else _tokens(control, rows),
            one_control=one_control,
            best_nll=rows[index].name in best_by_nll,
            best_downstream=rows[index].name in best_by_tasks,
        )
        for index, control in enumerate(controls)
    )


def _is_one(controls: Iterable[Runs | Missing]) -> bool:
    """Whether those that there are have the same run on each data seed."""
    runs: dict[int, DocumentScores] = {}
    of_seeds = [item for of in controls if not isinstance(of, Missing) for item in of.items()]
    return all(runs.setdefault(seed, run) is run for seed, run in of_seeds)


def _tokens(control: Runs, rows: Sequence[RowCells]) -> int:
    """The budget of the row that these runs are of."""
    runs = {id(run) for run in control.values()}
    of_row = (row for row in rows if any(id(run) in runs for run in row.runs.values()))
    return max((row.first.train.recipe.budget_tokens for row in of_row), default=0)


def shared_seeds(rows: Sequence[RowCells]) -> tuple[int, ...]:
    """The data seeds that all of `rows` finished; rows without any do not count."""
    seeds = [set(row.runs) for row in rows if row.runs]
    return tuple(sorted(set.intersection(*seeds))) if seeds else ()


def _on_seeds(row: RowCells, seeds: Sequence[int]) -> Runs:
    """The runs of a row on some of its seeds."""
    runs = row.runs
    return {seed: runs[seed] for seed in seeds}


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """Runs by data seed, and the base that their losses are against; None: as measured."""

    runs: Runs
    base: DocumentScores | None = None

    def nats(self, seeds: Sequence[int], bootstrap: PairedBootstrap) -> FloatArray:
        """Nats per token, lost or measured, the mean over `seeds`, in every resample."""
        nll_R = mean_nll({seed: self.runs[seed] for seed in seeds}, bootstrap)
        return nll_R if self.base is None else nll_R - bootstrap.values(self.base.nll)


@dataclass(frozen=True, kw_only=True, slots=True)
class Excess:
    """How many nats per token one row ends above another.

    `sign` is 1 or −1 where the two are told apart, by the test and by the interval as printed.
    """

    nats: Estimate
    sign: int

    def __str__(self) -> str:
        return f"{self.nats.value:+.3f} [{self.nats.low:.3f} {self.nats.high:.3f}]"


def excesses(pairs: Mapping[str, tuple[Losses, Losses]]) -> dict[str, Excess]:
    """How far the second of each pair ends above the first, on the data seeds of both.

    The test is that of the best set, with Holm over all pairs. A pair that has no seed in
    common, or was not measured on the same text, is left out.
    """
    seeds = {name: sorted(a.runs.keys() & b.runs.keys()) for name, (a, b) in pairs.items()}
    runs = [side.runs[s] for name, pair in pairs.items() for side in pair for s in seeds[name]]
    bases = [side.base for pair in pairs.values() for side in pair if side.base is not None]
    bootstrap = PairedBootstrap.over([*runs, *bases])
    differences = {
        name: partial(_difference, before, after, seeds[name])
        for name, (before, after) in pairs.items()
        if seeds[name]
        if all(same_items(before.runs[s].nll, after.runs[s].nll) for s in seeds[name])
    }
    differences_R = resampled(differences, bootstrap, len(differences))
    apart = told_apart(differences_R, documents=_documents([dict(enumerate(runs))]))
    entries = {name: estimate(d_R, "not a number") for name, d_R in differences_R.items()}
    return {
        name: Excess(nats=nats, sign=_printed_sign(nats) if name in apart else 0)
        for name, nats in entries.items()
        if isinstance(nats, Estimate)
    }


def _difference(
    before: Losses, after: Losses, seeds: Sequence[int], bootstrap: PairedBootstrap
) -> FloatArray:
    return after.nats(seeds, bootstrap) - before.nats(seeds, bootstrap)


def _printed_sign(nats: Estimate) -> int:
    """On which side of 0 an interval lies in three digits; 0 if it holds 0."""
    return int(round(nats.low, 3) > 0) - int(round(nats.high, 3) < 0)


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
    of_block = next((other for other in rows if other.role in CANDIDATES), rows[0])
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


def tied_by_tasks(
    rows: Sequence[RowCells], chance: Mapping[str, float], *, worst: bool
) -> frozenset[str]:
    """The rows that their tasks do not tell apart from the best one, or from the worst one.

    Args:
        rows: scored on all tasks of `chance`; all are tied if their data seeds differ.
        chance: what guessing gives, by task.
        worst: from which end.
    """
    seeds, sign = shared_seeds(rows), 1 if worst else -1
    runs = {row.name: _on_seeds(row, seeds) for row in rows}
    bootstrap = PairedBootstrap.over(run for of_row in runs.values() for run in of_row.values())
    same_seeds = bool(seeds) and all(len(row.runs) == len(seeds) for row in rows)
    return _tied_by_tasks(runs, chance, bootstrap, sign) if same_seeds else frozenset(runs)


def tied_by_loss(rows: Mapping[str, Runs]) -> frozenset[str]:
    """The rows whose loss on the data seeds of all is not told apart from the lowest.

    Args:
        rows: runs by data seed, measured on the same text; all are tied if no seed is shared.
    """
    seeds = sorted(set.intersection(*map(set, rows.values()))) if rows else []
    if not seeds or len(rows) < 2:
        return frozenset(rows)
    runs = {name: {seed: of_row[seed] for seed in seeds} for name, of_row in rows.items()}
    bootstrap = PairedBootstrap.over(run for of_row in runs.values() for run in of_row.values())
    return _tied_by_loss(runs, bootstrap)


def _tied_by_loss(runs: Mapping[str, Runs], bootstrap: PairedBootstrap) -> frozenset[str]:
    losses = {name: partial(mean_nll, of_row) for name, of_row in runs.items()}
    losses_R = resampled(losses, bootstrap, len(losses) - 1)
    return not_distinguishable_from_best(losses_R, documents=_documents(runs.values()))


def _best(
    rows: Sequence[RowCells],
    against_base: Sequence[Drops],
    tasks: TableTasks,
    bootstrap: PairedBootstrap,
) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the rows not distinguishable from the best, by loss and by tasks."""
    candidates = [
        (row, lost) for row, lost in zip(rows, against_base, strict=True) if row.role in CANDIDATES
    ]
    with_nll = [row for row, lost in candidates if isinstance(lost.delta_nll, Estimate)]
    with_tasks = [row for row, lost in candidates if isinstance(lost.downstream_drop_pct, Estimate)]
    seeds = shared_seeds([row for row, _ in candidates])
    if len(candidates) < 2:
        return frozenset(), frozenset()
    if not seeds:
        return frozenset(row.name for row in with_nll), frozenset(row.name for row in with_tasks)
    tied = _tied_by_loss({row.name: _on_seeds(row, seeds) for row in with_nll}, bootstrap)
    of_tasks = {row.name: _on_seeds(row, seeds) for row in with_tasks}
    if tasks.all_at_chance:
        return tied, frozenset(of_tasks)
    return tied, _tied_by_tasks(of_tasks, tasks.chance, bootstrap, -1)


def _tied_by_tasks(
    runs: Mapping[str, Runs], chance: Mapping[str, float], bootstrap: PairedBootstrap, sign: int
) -> frozenset[str]:
    scores = {name: partial(mean_score, of_row, sorted(chance)) for name, of_row in runs.items()}
    scores_R = resampled(scores, bootstrap, len(scores) - 1)
    return not_distinguishable_from_best(
        {name: sign * score_R for name, score_R in scores_R.items()},
        documents=_documents(runs.values(), chance),
    )


def _documents(rows: Iterable[Runs], tasks: Collection[str] = ()) -> int:
    """How many documents there are of the held-out loss, or of tasks; the fewest of any run."""
    scores = (
        [run.tasks[task] for task in tasks] or [run.nll] for runs in rows for run in runs.values()
    )
    return min((len(set().union(*(of.units for of in of_run))) for of_run in scores), default=0)
