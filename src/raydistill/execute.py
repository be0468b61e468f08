"""What the store lacks of a sweep, run on a cluster: a grid, a search by Optuna, or a funnel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from raydistill.contests import open_funnel
from raydistill.costs import keep_estimates
from raydistill.follow import Follower, tokens_of
from raydistill.interrupts import interrupts_held
from raydistill.jobs import TrialJob
from raydistill.known import Known
from raydistill.outcomes import Finished, TrialFailure
from raydistill.owner import owner
from raydistill.peaks import probe_cells
from raydistill.placement import SHARDED
from raydistill.report.console import PatientConsole
from raydistill.report.live import progress_view
from raydistill.resolve import PlannedTrial, distinct
from raydistill.results import averaged_over, metrics, outcome_of, reached
from raydistill.runners.work import Candidate, Metrics
from raydistill.search import FUNNEL, GRID, TPE
from raydistill.shipped import adopt
from raydistill.spec import TrialSpec
from raydistill.store import Store
from raydistill.sweep import MOST_CELLS, SweepPlan
from raydistill.winner import winner_again

if TYPE_CHECKING:  # Ray takes seconds to import
    from raydistill.runners.in_order import InOrder
    from raydistill.runners.tune import Setup

ALWAYS_SHOWN = ("location", "count", "gap", "age")
"""In Tune's tables, also where a sweep does not vary them."""


def is_finished(plan: SweepPlan, known: Known, store: Store) -> bool:
    """Whether there is nothing to train or measure."""
    trials = distinct(plan.cells, known)
    if plan.options.search == FUNNEL:
        return has_bases(plan, known, store) and open_funnel(plan, known, store).is_done()
    if len(_known_metrics(trials, known, store)) < _wanted(plan, trials):
        return False
    again = distinct(winner_again(plan, known, store), known)
    return len(_known_metrics(again, known, store)) == len(again)


def has_bases(plan: SweepPlan, known: Known, store: Store) -> bool:
    """Whether the corpus, the bases and their layer scores are there."""
    has_text = store.has("corpora", known.corpus.corpus_sha256)
    keys = {cell.base.key for cell in plan.cells}
    final = all(trial.has_final_id for trial in distinct(plan.cells, known))
    return has_text and final and keys <= known.bases.keys()


def _wanted(plan: SweepPlan, trials: Sequence[PlannedTrial]) -> int:
    """Distinct trials that the sweep is to end with."""
    return min(plan.options.trials, len(trials))


class Listener(Protocol):
    """Who is told how far a sweep has come."""

    def begin(self, known: Known) -> None:
        """What trials start from is there now."""

    def settle_peaks(self) -> SweepPlan:
        """The plan, each arm at its best peak rate."""


def train_missing(
    plan: SweepPlan, store: Store, console: PatientConsole, listener: Listener
) -> None:
    """Everything that needs a cluster: corpus, bases, trials.

    Raises:
        RaydistillError: if the cluster cannot hold a trial, or the bases cannot be had.
    """
    # Ray takes seconds to import, and a finished sweep does not need it.
    with interrupts_held():
        from raydistill.runners import cluster, stages, tune  # noqa: PLC0415

    folder = store.path("sweeps", plan.sweep.name, plan.scale.name)
    options = plan.options
    with cluster.connected(folder / "ray.log"):
        need = cluster.device_need()
        cluster.wait_for(need, times=min(options.device_counts), say=console.print)
        cluster.require_shared(store.root)
        known = stages.prepare(plan, store, need, console.print)
        listener.begin(known)
        setup = tune.Setup(
            folder=folder,
            need=need,
            device_counts=options.device_counts,
            concurrent=None if options.concurrent == "auto" else options.concurrent,
        )
        if options.lr_probe:
            console.print("trying three peak rates for each arm")
            every = replace(options, search=GRID, trials=MOST_CELLS)
            probes = replace(plan, cells=probe_cells(plan.cells), options=every)
            Session(probes, known, store, console, setup).train()
            plan = listener.settle_peaks()
            listener.begin(known)
        Session(plan, known, store, console, setup).train()


@dataclass(frozen=True, slots=True)
class Session:
    """A sweep on a cluster that is there, from bases that are made."""

    plan: SweepPlan
    known: Known
    store: Store
    console: PatientConsole
    setup: "Setup"

    def train(self) -> None:
        """Train what is missing; failures are kept too."""
        trials = distinct(self.plan.cells, self.known)
        if not self.plan.options.anew:
            adopt([trial.trial_id for trial in trials], self.store)
        for trial_id, failure in self._failures(trials).items():
            where = "training" if self.store.trained(trial_id) is None else "evaluation"
            self.store.save(replace(failure, where=where), "trials", trial_id, "failure.json")

    def _failures(self, trials: Sequence[PlannedTrial]) -> dict[str, TrialFailure]:
        if self.plan.options.search == FUNNEL:
            return self._funnel(trials)
        if self.plan.options.search == TPE:
            return self._search(trials)
        return self.run_all(self.candidates(self._unfinished(trials)))

    def _unfinished(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        ends = ((trial, outcome_of(trial, self.known, self.store)) for trial in trials)
        return [trial for trial, end in ends if not isinstance(end, Finished)]

    def _search(self, trials: Sequence[PlannedTrial]) -> dict[str, TrialFailure]:
        """By Optuna; then the winner on new seeds, if the sweep wants that."""
        from raydistill.runners.stages import study  # noqa: PLC0415  (Ray)

        done = _known_metrics(trials, self.known, self.store)
        missing = _wanted(self.plan, trials) - len(done)
        candidates = self.candidates(trials)
        left = [candidate for candidate in candidates if candidate.key not in done]
        names = study(self.plan, candidates, done, self.store)
        failures = self.run(left, names, missing) if missing > 0 else {}
        again = distinct(winner_again(self.plan, self.known, self.store), self.known)
        if anew := self._unfinished(again):
            self.console.print("training winner and best preset on new seeds, and their controls")
            failures |= self.run_all(self.candidates(anew))
        return failures

    def _funnel(self, trials: Sequence[PlannedTrial]) -> dict[str, TrialFailure]:
        from raydistill.runners.funnel import run_funnel  # noqa: PLC0415  (Ray)

        return run_funnel(
            open_funnel(self.plan, self.known, self.store),
            {candidate.key: candidate for candidate in self.candidates(trials)},
            self.setup.need,
            self.run_all,
            self.console.print,
        )

    def candidates(self, trials: Sequence[PlannedTrial]) -> list[Candidate]:
        """The trials in Tune's words."""
        averaged = averaged_over(self.plan.cells, self.known, self.store)
        return [_candidate(trial, self.known, self.plan, averaged) for trial in trials]

    def _tokens(self, candidate: Candidate) -> int:
        """What it still trains; what is trained is measured only."""
        trained = self.store.path("trials", candidate.key, "trained.json").is_file()
        return 0 if trained else tokens_of(candidate)

    def run_all(self, candidates: Sequence[Candidate]) -> dict[str, TrialFailure]:
        """Every candidate, in order; those that failed, by id."""
        from raydistill.runners.in_order import InOrder  # noqa: PLC0415  (Ray)

        if not candidates:
            return {}
        keys = {candidate.key for candidate in candidates}
        trials = [t for t in distinct(self.plan.cells, self.known) if t.trial_id in keys]
        keep_estimates(trials, self.store, probed=self.plan.options.probe)
        return self.run(candidates, InOrder(candidates), len(candidates))

    def run(
        self, candidates: Sequence[Candidate], searcher: "InOrder", missing: int
    ) -> dict[str, TrialFailure]:
        """`missing` of the candidates, as the searcher names them; those that failed, by id."""
        from raydistill.runners import stages, teachers, tune  # noqa: PLC0415  (Ray)

        # which ones a search will take is not known yet: as if they were all of the mean length
        tokens = missing * sum(map(self._tokens, candidates)) // max(len(candidates), 1)
        plan, need = self.plan, self.setup.need
        apart = stages.teachers_apart(plan.cells, plan.options.teacher_placement, need)
        specs = [c.job.spec for c in candidates if isinstance(c.job, TrialJob)] if apart else []
        with (
            progress_view(missing, tokens, self.console) as view,
            teachers.standing(specs, need, str(self.store.root)) as actors,
        ):
            result = tune.run_jobs(
                [_taught(candidate, actors) for candidate in candidates],
                searcher,
                work=stages.trial_work,
                setup=self.setup,
                on_progress=Follower(candidates, view).heard,
                reached=partial(reached, store=self.store),
            )
        return dict(result.failures)


def _taught(candidate: Candidate, actors: Mapping[str, str]) -> Candidate:
    """The same, told the actor of its teacher if that stands on devices of its own."""
    assert isinstance(candidate.job, TrialJob)
    job = replace(candidate.job, teacher_actor=actors.get(candidate.key, ""))
    return replace(candidate, job=job)


def _candidate(
    planned: PlannedTrial, known: Known, plan: SweepPlan, averaged: tuple[str, ...]
) -> Candidate:
    """A trial in Tune's words, by the axes of its first cell, in the paper's tokens."""
    spec, cell = planned.trial, planned.cells[0]
    request = cell.request
    assert isinstance(spec, TrialSpec), "every layer score is known once the stages are done"
    return Candidate(
        key=spec.trial_id,
        axes=dict(cell.values) | {name: getattr(request, name) for name in ALWAYS_SHOWN},
        job=TrialJob(
            spec=spec,
            base_sha256=known.bases[cell.base.key].weights_sha256,
            evaluation=planned.scale.evaluation,
            storage=str(plan.options.storage),
            sweep=plan.sweep.name,
            owner=owner(),
            tasks_averaged=averaged,
            teacher_sharded=plan.options.teacher_placement == SHARDED,
            cache_gb=plan.options.cache_gb,
            checkpoint_every_s=plan.options.checkpoint_every_s,
        ),
    )


def _known_metrics(
    trials: Sequence[PlannedTrial], known: Known, store: Store
) -> dict[str, Metrics]:
    """Finished trials by id, with what a search sees of them."""
    averaged = averaged_over([cell for trial in trials for cell in trial.cells], known, store)
    ends = ((trial, outcome_of(trial, known, store)) for trial in trials)
    return {t.trial_id: metrics(end, averaged) for t, end in ends if isinstance(end, Finished)}
