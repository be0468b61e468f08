"""Running a sweep: stages, trials, tracking, report. The one place where they meet."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill import tracking
from raydistill.asked import AskedSweep, asked_of, keep
from raydistill.codec import to_json
from raydistill.costs import keep_estimates
from raydistill.errors import SetupError
from raydistill.follow import Follower
from raydistill.interrupts import interrupts_held
from raydistill.jobs import TrialJob
from raydistill.manifest import write_text
from raydistill.outcomes import Finished, TrialFailure
from raydistill.peaks import at_best_peaks, probe_cells
from raydistill.report import formats
from raydistill.report.chapter import chapter
from raydistill.report.console import PatientConsole, open_console
from raydistill.report.live import progress_view
from raydistill.report.markdown import to_markdown
from raydistill.report.terminal import print_table
from raydistill.resolve import Known, PlannedTrial, distinct, look_up
from raydistill.results import delta_nll, outcome
from raydistill.runners.work import Candidate
from raydistill.shipped import adopt
from raydistill.spec import TrialSpec
from raydistill.store import Store
from raydistill.sweep import MOST_CELLS, SweepPlan
from raydistill.views import SweepState, for_report, for_tracker, read_state

if TYPE_CHECKING:
    from raydistill.runners import tune

ALWAYS_SHOWN = ("location", "count", "gap", "age")
"""In Tune's tables, also where a sweep does not vary them."""


def run(plan: SweepPlan) -> int:
    """Run what the store lacks of a sweep, then report; 0, or 1 if a trial failed.

    Raises:
        RaydistillError: if the sweep cannot be run here.
    """
    store = Store(plan.options.storage)
    check_writable(store.root)
    console = open_console()
    tracked = Tracked(plan, store)
    plan = tracked.settle_peaks()
    console.print(tracking.check(plan.options.tracking_uri, store))
    tracker = tracking.Tracker(
        tracked.snapshot, uri=plan.options.tracking_uri, store=store, say=console.print
    )
    if _is_finished(plan, tracked.known, store):
        console.print("The store has every trial of this sweep: nothing is trained.")
        tracked.running = False
    else:
        with tracker:
            try:
                train_missing(plan, store, console, tracked)
            finally:
                tracked.running = False
    tracked.keep()
    state = tracked.state()
    tracked.files = write_report(state, store, console)
    tracker.close()
    _print_next(plan, tracker, console)
    return int(any(isinstance(cell.outcome, TrialFailure) for cell in state.cells))


def probe(plan: SweepPlan) -> None:
    """Measure on this cluster's devices what a sweep will take.

    Raises:
        RaydistillError: if there is no device, or the storage cannot be written.
    """
    store = Store(plan.options.storage)
    check_writable(store.root)
    with interrupts_held():
        from raydistill.runners.probing import probe_plan  # noqa: PLC0415  (Ray)

    probe_plan(plan, store, open_console().print)


class Tracked:
    """What MLflow is brought to, read from the store each time it is asked.

    Attributes:
        running: whether trials may still come.
        plan: the sweep, each arm at its best peak rate once that is known.
        known: what trials start from; made once, by the stages before them.
        files: tables and figures by name, once there are any.
    """

    def __init__(self, plan: SweepPlan, store: Store) -> None:
        self.running = True
        self.known = look_up(plan.scale, plan.cells, store)
        self.files: dict[str, str] = {}
        self.plan, self._store = plan, store
        self._environment = tracking.environment(Path.cwd())

    def state(self) -> SweepState:
        """The sweep as the store holds it now."""
        return read_state(self._asked(), self._store)

    def settle_peaks(self) -> SweepPlan:
        """The plan with what the probes of its arms have said by now, if they were asked for."""
        if self.plan.options.lr_probe:
            cells = at_best_peaks(self.plan.cells, self.known, self._store)
            self.plan = replace(self.plan, cells=cells)
        return self.plan

    def keep(self) -> None:
        """Keep what is known of every cell, so that a report can be made while trials run."""
        keep(self._asked(), self._store)

    def _asked(self) -> AskedSweep:
        return asked_of(self.plan, self.known, self._store)

    def snapshot(self) -> tracking.TrackedSweep:
        """The same for the tracker."""
        return for_tracker(
            self.state(),
            command=self.plan.options.command,
            running=self.running,
            environment=self._environment,
            files=self.files,
        )


def check_writable(root: Path) -> None:
    """Make the storage folder and write into it.

    Raises:
        SetupError: if that fails, with the absolute path.
    """
    probe = root / f".probe-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise SetupError(f"the storage {root} cannot be written: {error.strerror}") from error


def _is_finished(plan: SweepPlan, known: Known, store: Store) -> bool:
    """Whether there is nothing to train or measure."""
    trials = distinct(plan.cells, known)
    return len(_selection_losses(trials, known, store)) >= _wanted(plan, trials)


def _wanted(plan: SweepPlan, trials: Sequence[PlannedTrial]) -> int:
    """Distinct trials that the sweep is to end with."""
    return min(plan.options.trials, len(trials))


def train_missing(plan: SweepPlan, store: Store, console: PatientConsole, tracked: Tracked) -> None:
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
        cluster.wait_for(need, times=options.devices_per_trial, say=console.print)
        cluster.require_shared(store.root)
        tracked.known = stages.prepare(plan, store, need, console.print)
        tracked.keep()
        setup = tune.Setup(
            folder=folder,
            need=need,
            devices_per_trial=options.devices_per_trial,
            concurrent=None if options.concurrent == "auto" else options.concurrent,
        )
        if options.lr_probe:
            console.print("trying three peak rates for each arm")
            every = replace(options, search="grid", trials=MOST_CELLS)
            probes = replace(plan, cells=probe_cells(plan.cells), options=every)
            _run_trials(probes, tracked.known, store, console, setup)
            plan = tracked.settle_peaks()
            tracked.keep()
        _run_trials(plan, tracked.known, store, console, setup)


def _run_trials(
    plan: SweepPlan, known: Known, store: Store, console: PatientConsole, setup: "tune.Setup"
) -> None:
    """Those trials of a plan that the store lacks; failures are kept there too."""
    from raydistill.runners import stages, teachers, tune  # noqa: PLC0415  (Ray)

    trials, options = distinct(plan.cells, known), plan.options
    if not options.anew:
        adopt([t.trial.trial_id for t in trials if isinstance(t.trial, TrialSpec)], store)
    keep_estimates(trials, store, probed=options.probe)
    candidates = [_candidate(trial, known, plan) for trial in trials]
    losses = _selection_losses(trials, known, store)
    missing = _wanted(plan, trials) - len(losses)
    if missing <= 0:
        return
    apart = stages.teachers_apart(plan.cells, options.teacher_placement, setup.need)
    specs = _specs(candidates, losses) if apart else []
    with (
        progress_view(missing, _tokens(trials, losses, missing), console) as view,
        teachers.standing(specs, setup.need, str(store.root)) as actors,
    ):
        candidates = [_taught(candidate, actors) for candidate in candidates]
        result = tune.run_jobs(
            candidates,
            stages.searcher(plan, candidates, losses),
            work=stages.trial_work,
            setup=setup,
            on_progress=Follower(candidates, view).heard,
        )
    for trial_id, failure in result.failures.items():
        where = "training" if store.trained(trial_id) is None else "evaluation"
        store.save(replace(failure, where=where), "trials", trial_id, "failure.json")


def _specs(candidates: Sequence[Candidate], done: Container[str]) -> list[TrialSpec]:
    return [c.job.spec for c in candidates if isinstance(c.job, TrialJob) and c.key not in done]


def _taught(candidate: Candidate, actors: Mapping[str, str]) -> Candidate:
    """The same, told the actor of its teacher if that stands on devices of its own."""
    assert isinstance(candidate.job, TrialJob)
    job = replace(candidate.job, teacher_actor=actors.get(candidate.key, ""))
    return replace(candidate, job=job)


def _tokens(trials: Sequence[PlannedTrial], done: Container[str], missing: int) -> int:
    """What `missing` of the trials that are not done train on; a search's are not known yet."""
    left = [
        t.trial.train.recipe
        for t in trials
        if isinstance(t.trial, TrialSpec) and t.trial.trial_id not in done
    ]
    return missing * sum(recipe.total_tokens for recipe in left) // max(len(left), 1)


def _candidate(planned: PlannedTrial, known: Known, plan: SweepPlan) -> Candidate:
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
        ),
    )


def _selection_losses(
    trials: Sequence[PlannedTrial], known: Known, store: Store
) -> dict[str, float]:
    """Finished trials by id, with what a search minimises."""
    losses = {}
    for planned in trials:
        base = known.bases.get(planned.cells[0].base.key)
        if isinstance(planned.trial, TrialSpec) and planned.has_final_id and base is not None:
            found = outcome(planned.trial, base.weights_sha256, planned.scale.evaluation, store)
            if isinstance(found, Finished):
                losses[planned.trial.trial_id] = delta_nll(found, "selection")
    return losses


def write_report(state: SweepState, store: Store, console: PatientConsole) -> dict[str, str]:
    """Print the table, and keep it with its figures and its page; returns the files by name."""
    made = chapter(for_report(state))
    print_table(made.table, console)
    folder = store.path("sweeps", state.asked.name, state.asked.scale)
    files = {"table.md": to_markdown(made.table), "table.json": to_json(made.table)}
    files |= formats.texts([made])
    for name, text in files.items():
        write_text(folder / name, text)
    figures = formats.figures(made, folder)
    return files | {p.name: p.read_text("utf-8") for p in figures if p.suffix == ".svg"}


def _print_next(plan: SweepPlan, tracker: tracking.Tracker, console: PatientConsole) -> None:
    """The commands to go on with."""
    uri = plan.options.tracking_uri
    folder = plan.options.storage / "sweeps" / plan.sweep.name / plan.scale.name
    console.print(f"\nTable, figures and page: {folder / 'report.html'}", soft_wrap=True)
    if tracker.delivery is not None:
        server = uri if uri.startswith("http") else "http://127.0.0.1:5000"
        if server != uri:
            console.print(f"Look at every cell: {tracking.ui_command(uri)}")
        console.print(f"  {tracking.experiment_url(server, tracker.delivery.experiment_id)}")
    script = f"python sweeps/{plan.sweep.name}.py"
    console.print(f"Go on: {script} --location all     (what is done is not done again)")
    console.print(f"       {script} --budget 60B       (a longer healing)")
    console.print(f"       ray job submit -- {script}  (on a cluster)")
