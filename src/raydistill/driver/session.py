"""What the store lacks of a sweep, run on a cluster: a grid, a search by Optuna, or a funnel."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from raydistill.core.signals import interrupts_held
from raydistill.distillation.teacher_placement import SHARDED
from raydistill.driver.progress import ProgressReporter, tokens_of
from raydistill.evaluation.scoring import unmeasured_tokens
from raydistill.planning.artifacts import measured_bases, texts_read
from raydistill.planning.lr_probe import probe_cells, with_best_rates
from raydistill.planning.outcomes import averaged_over, lasting_progress, metrics, outcome_of
from raydistill.planning.prepared import PreparedSweep, missing_probes, prepare
from raydistill.planning.preview.costs import keep_estimates
from raydistill.planning.resolve import PlannedTrial, failed_choice
from raydistill.planning.search.brackets import open_halving
from raydistill.planning.search.selection import winner_again
from raydistill.planning.search_settings import FUNNEL, GRID, TPE
from raydistill.planning.sweep import MOST_CELLS
from raydistill.reports.console.console import PipeSafeConsole
from raydistill.reports.console.live import progress_view
from raydistill.runners.cluster.work import Candidate, Metrics
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.results import Finished, TrialFailure
from raydistill.specs.trial import TrialSpec
from raydistill.storage.bundled import copy_bundled_trials
from raydistill.storage.owner import owner
from raydistill.training.jobs import ToTheEnd, TrialJob

if TYPE_CHECKING:
    from raydistill.runners.tune.in_order import InOrder
    from raydistill.runners.tune.trials import Setup

ALWAYS_LISTED_AXES = (
    "location",
    "count",
    "gap",
    "age",
)  # axes in Tune's tables, even if they never vary


def is_finished(prepared: PreparedSweep) -> bool:
    """Whether there is nothing to train or measure."""
    if any(missing_probes(base, prepared) for base in measured_bases(prepared.plan.cells)):
        return False
    if prepared.plan.options.search == FUNNEL:
        return has_bases(prepared) and open_halving(prepared).is_done()
    if len(_finished_metrics(prepared)) < _trials_to_finish(prepared):
        return False
    reruns = prepared.with_cells(winner_again(prepared))
    return len(_finished_metrics(reruns)) == len(reruns.trials)


def has_bases(prepared: PreparedSweep) -> bool:
    """Whether the corpora, the bases and their layer scores exist."""
    artifacts, plan = prepared.artifacts, prepared.plan
    has_text = all(
        prepared.store.has("corpora", artifacts.corpus_of(scale).corpus_sha256)
        for scale, *_ in texts_read(plan.scale, plan.cells)
    )
    keys = {cell.base.key for cell in prepared.plan.cells}
    final = all(trial.has_final_id for trial in prepared.trials)
    return has_text and final and keys <= artifacts.bases.keys()


def _trials_to_finish(prepared: PreparedSweep) -> int:
    """How many distinct trials the sweep ends with."""
    return min(prepared.plan.options.trials, len(prepared.trials))


def train_missing(
    prepared: PreparedSweep, console: PipeSafeConsole, begin: Callable[[PreparedSweep], None]
) -> None:
    """Make everything that needs a cluster: corpus, bases, trials.

    Args:
        prepared: the sweep as far as the store knows it.
        console: shows what is done.
        begin: called with the sweep once its bases exist, and once its peak rates are chosen.

    Raises:
        RaydistillError: if the cluster cannot hold a trial, or the bases cannot be had.
    """
    # Ray takes seconds to import, and a finished sweep does not need it.
    with interrupts_held():
        from raydistill.runners import stages  # noqa: PLC0415
        from raydistill.runners.cluster import connection as cluster  # noqa: PLC0415
        from raydistill.runners.tune import trials as tune  # noqa: PLC0415

    store, options = prepared.store, prepared.plan.options
    with cluster.connected(prepared.folder / "ray.log"):
        need = cluster.device_need()
        cluster.wait_for(need, times=min(options.device_counts), say=console.print)
        cluster.require_shared(store.root)
        prepared = stages.make_artifacts(prepared.plan, store, need, console.print)
        begin(prepared)
        setup = tune.Setup(
            folder=prepared.folder,
            need=need,
            device_counts=options.device_counts,
            concurrent=None if options.concurrent == "auto" else options.concurrent,
        )
        if options.lr_probe:
            console.print("trying three peak rates for each arm")
            Session(_probes_of(prepared), console, setup).train()
            prepared = with_best_rates(prepared)
            begin(prepared)
        Session(prepared, console, setup).train()


def _probes_of(prepared: PreparedSweep) -> PreparedSweep:
    """A grid of the learning-rate probes of a sweep's arms."""
    plan = prepared.plan
    grid = replace(plan.options, search=GRID, trials=MOST_CELLS)
    probes = replace(plan, cells=probe_cells(plan.cells), options=grid)
    return prepare(probes, prepared.store, prepared.artifacts)


@dataclass(frozen=True, slots=True)
class Session:
    """The training of a sweep, on a cluster that is connected, from bases that exist."""

    prepared: PreparedSweep
    console: PipeSafeConsole
    setup: "Setup"

    def train(self) -> None:
        """Train what is missing; failures are stored too."""
        store = self.prepared.store
        if not self.prepared.plan.options.anew:
            copy_bundled_trials([trial.trial_id for trial in self.prepared.trials], store)
        unchosen = {trial.trial_id for trial in self.prepared.trials if trial.is_unchosen}
        for trial_id, failure in self._failures().items():
            where = "training" if store.trained(trial_id) is None else "evaluation"
            if trial_id in unchosen:
                where = "scoring layers"
            store.save(replace(failure, where=where), "trials", trial_id, "failure.json")

    def _failures(self) -> dict[str, TrialFailure]:
        if self.prepared.plan.options.search == FUNNEL:
            return self._funnel()
        if self.prepared.plan.options.search == TPE:
            return self._search()
        return self.run_all(self.candidates(self._unfinished(self.prepared.trials)))

    def _unfinished(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        ends = ((trial, outcome_of(trial, self.prepared)) for trial in trials)
        return [trial for trial, end in ends if not isinstance(end, Finished)]

    def _search(self) -> dict[str, TrialFailure]:
        """Search by Optuna; then train the winner on new seeds, if the sweep says so."""
        from raydistill.runners.tune.optuna_search import study  # noqa: PLC0415  (Ray)

        prepared, done = self.prepared, _finished_metrics(self.prepared)
        missing = _trials_to_finish(prepared) - len(done)
        candidates = self.candidates(prepared.trials)
        unfinished = [candidate for candidate in candidates if candidate.key not in done]
        searcher = study(prepared, candidates, done)
        failures = self.run(unfinished, searcher, missing) if missing > 0 else {}
        if reruns := self._unfinished(prepared.with_cells(winner_again(prepared)).trials):
            self.console.print("training winner and best preset on new seeds, and their controls")
            failures |= self.run_all(self.candidates(reruns))
        return failures

    def _funnel(self) -> dict[str, TrialFailure]:
        from raydistill.runners.halving import run_halving  # noqa: PLC0415  (Ray)

        return run_halving(
            open_halving(self.prepared),
            {candidate.key: candidate for candidate in self.candidates(self.prepared.trials)},
            self.setup.need,
            self.run_all,
            self.console.print,
        )

    def candidates(self, trials: Sequence[PlannedTrial]) -> list[Candidate]:
        """The trials as Tune runs them."""
        averaged = averaged_over(self.prepared)
        return [_candidate(trial, self.prepared, averaged) for trial in trials]

    def _remaining_tokens(self, candidate: Candidate) -> int:
        """0 for a trained candidate, which is only measured."""
        trained = self.prepared.store.path("trials", candidate.key, "trained.json").is_file()
        return 0 if trained else tokens_of(candidate)

    def _measured_tokens(self, candidates: Sequence[Candidate]) -> int:
        """About how many tokens a trial is measured on at its end, on average."""
        store, context = self.prepared.store, self.prepared.plan.scale.model.context
        jobs = [c.job for c in candidates if isinstance(c.job, TrialJob)]
        measured = Counter(
            (job.evaluation, job.spec.train.corpus_sha256)
            for job in jobs
            if job.until == ToTheEnd()
        )
        tokens = 0
        for (evaluation, sha256), trials in measured.items():
            corpus = store.load(CorpusInfo, "corpora", sha256, "corpus.json")
            assert corpus is not None, "a corpus is made before trials start"
            tokens += trials * unmeasured_tokens("", evaluation, context, corpus, store)
        return tokens // max(len(jobs), 1)

    def run_all(self, candidates: Sequence[Candidate]) -> dict[str, TrialFailure]:
        """Train every candidate, in order; returns those that failed, by id."""
        from raydistill.runners.tune.in_order import InOrder  # noqa: PLC0415  (Ray)

        if not candidates:
            return {}
        prepared, keys = self.prepared, {candidate.key for candidate in candidates}
        trials = [trial for trial in prepared.trials if trial.trial_id in keys]
        keep_estimates(trials, prepared.store, probed=prepared.plan.options.probe)
        return self.run(candidates, InOrder(candidates), len(candidates))

    def run(
        self, candidates: Sequence[Candidate], searcher: "InOrder", missing: int
    ) -> dict[str, TrialFailure]:
        """Train `missing` of the candidates, as the searcher suggests; returns failures by id."""
        from raydistill.runners import stages, teacher_actors  # noqa: PLC0415  (Ray)
        from raydistill.runners.tune import trials as tune  # noqa: PLC0415  (Ray)

        # a search's choices are not known yet: as if they had the mean length
        tokens = missing * sum(map(self._remaining_tokens, candidates)) // max(len(candidates), 1)
        plan, store, need = self.prepared.plan, self.prepared.store, self.setup.need
        apart = teacher_actors.teachers_apart(plan.cells, plan.options.teacher_placement, need)
        specs = [c.job.spec for c in candidates if apart and isinstance(c.job, TrialJob)]
        with (
            teacher_actors.teacher_actors(
                specs,
                need,
                str(store.root),
                beside=min(self.setup.device_counts),
                say=self.console.print,
            ) as actors,
            progress_view(
                missing, tokens, self.console, measured_tokens=self._measured_tokens(candidates)
            ) as view,
        ):
            reporter = ProgressReporter(candidates, view)
            result = tune.run_jobs(
                [_with_teacher(candidate, actors) for candidate in candidates],
                searcher,
                work=stages.trial_work,
                setup=self.setup,
                on_progress=reporter.update,
                on_stages=reporter.update_stages,
                reached=partial(lasting_progress, store=store),
            )
        return dict(result.failures)


def _with_teacher(candidate: Candidate, actors: Mapping[str, str]) -> Candidate:
    """The candidate with the actor of its teacher, if that is on devices of its own."""
    assert isinstance(candidate.job, TrialJob)
    job = replace(candidate.job, teacher_actor=actors.get(candidate.key, ""))
    return replace(candidate, job=job)


def _candidate(
    planned: PlannedTrial, prepared: PreparedSweep, averaged: tuple[str, ...]
) -> Candidate:
    """A trial as Tune runs it, with the axes of its first cell, in the paper's tokens."""
    plan, bases = prepared.plan, prepared.artifacts.bases
    spec, cell = planned.trial, planned.cells[0]
    request = cell.request
    assert isinstance(spec, TrialSpec), "every layer score is known once the stages are done"
    return Candidate(
        key=spec.trial_id,
        axes=dict(cell.values) | {name: getattr(request, name) for name in ALWAYS_LISTED_AXES},
        job=TrialJob(
            spec=spec,
            base_sha256=bases[cell.base.key].weights_sha256,
            evaluation=planned.scale.evaluation,
            storage=str(plan.options.storage),
            sweep=plan.sweep.name,
            owner=owner(),
            tasks_averaged=averaged,
            teacher_sharded=plan.options.teacher_placement == SHARDED,
            cache_gb=plan.options.cache_gb,
            sharding=plan.options.sharding,
            checkpoint_every_s=plan.options.checkpoint_every_s,
            failed_choice=failed_choice(cell, prepared.artifacts) if spec.unchosen else None,
        ),
    )


def _finished_metrics(prepared: PreparedSweep) -> dict[str, Metrics]:
    """The metrics that a search sees of finished trials, by id."""
    averaged = averaged_over(prepared)
    ends = ((trial, outcome_of(trial, prepared)) for trial in prepared.trials)
    return {t.trial_id: metrics(end, averaged) for t, end in ends if isinstance(end, Finished)}
