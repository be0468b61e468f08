"""Running a sweep: stages, trials, tracking, report. The one place where they meet."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raydistill import faults, tracking
from raydistill.asked import AskedSweep, asked_of, keep, with_added
from raydistill.codec import to_json
from raydistill.contests import open_funnel
from raydistill.errors import RaydistillError, SetupError
from raydistill.evaluate.task_data import keep as keep_task_data
from raydistill.execute import has_bases, is_finished, train_missing
from raydistill.interrupts import interrupts_held
from raydistill.leftovers import sweep_up
from raydistill.lock import held
from raydistill.manifest import write_text
from raydistill.outcomes import TrialFailure
from raydistill.peaks import at_best_peaks
from raydistill.places import check_writable
from raydistill.prepared import PreparedSweep, prepare
from raydistill.remote import remote_of, send
from raydistill.report import formats
from raydistill.report.chapter import chapter
from raydistill.report.console import PatientConsole, open_console
from raydistill.report.markdown import to_markdown
from raydistill.report.pareto import front_lines, save_pareto
from raydistill.report.terminal import print_table
from raydistill.results import study_url
from raydistill.search import FUNNEL, TPE
from raydistill.store import Store
from raydistill.sweep import SweepPlan
from raydistill.verdict import funnel_lines, winner_lines
from raydistill.views import SweepState, for_report, for_tracker, read_state
from raydistill.winner import further, points, winner, winner_again

FULL_BYTES = 32_000_000


def run(plan: SweepPlan) -> int:
    """Run what the store lacks of a sweep, then report; 0, or 1 if a trial failed.

    Raises:
        RaydistillError: if the sweep cannot be run here, or somebody is running it.
    """
    store = Store(plan.options.storage)
    check_storage(store.root)
    console = open_console()
    lock = store.path("sweeps", plan.sweep.name, plan.scale.name, "lock.json")
    with held(lock, console.print), full_disk_named(store.root):
        code = _run(plan, store, console)
    send(store.root)
    return code


@contextmanager
def full_disk_named(root: Path) -> Iterator[None]:
    """Whatever breaks in the block because the storage is full says so.

    Ray reads its own half-written files there too, and then says anything.

    Raises:
        SetupError: instead of any other error, if next to nothing is left.
    """
    try:
        yield
    except RaydistillError:
        raise
    except Exception as error:
        left_bytes = shutil.disk_usage(root).free
        if left_bytes > FULL_BYTES:
            raise
        raise SetupError(
            f"the storage {root} is full, {left_bytes / 1e6:.1f} MB are left ({error}): make room, "
            "what is done is kept; the same command goes on"
        ) from error


def _run(plan: SweepPlan, store: Store, console: PatientConsole) -> int:
    _keep_task_data(plan, store)
    if told := faults.arm(store.path("faults")):
        console.print(told)
    if swept := sweep_up(store.root):
        console.print(swept)
    prepared = at_best_peaks(prepare(plan, store))
    tracked, uri = Tracked(prepared), plan.options.tracking_uri
    console.print(tracking.check(uri, store))
    tracker = tracking.Tracker(tracked.snapshot, uri=uri, store=store, say=console.print)
    told = further(prepared)
    if is_finished(prepared):
        console.print("The store has every trial of this sweep: nothing is trained.")
        tracked.running = False
    else:
        with tracker:
            try:
                train_missing(prepared, console, tracked.begin)
            finally:
                tracked.running = False
    tracked.keep()
    state = tracked.state()
    tracked.files = write_report(state, store, console)
    tracked.files |= write_verdict(tracked.prepared, console)
    if told:
        console.print(told)
    tracker.close()
    _print_next(plan, tracker, console)
    return int(any(isinstance(cell.outcome, TrialFailure) for cell in state.cells))


def probe(prepared: PreparedSweep) -> None:
    """Measure on this cluster's devices what a sweep will take.

    Raises:
        RaydistillError: if there is no device, or the storage cannot be written.
    """
    check_storage(prepared.store.root)
    _keep_task_data(prepared.plan, prepared.store)
    with interrupts_held():
        from raydistill.runners.probing import probe_plan  # noqa: PLC0415  (Ray)

    probe_plan(prepared, open_console().print)


class Tracked:
    """What MLflow is brought to, read from the store each time it is asked.

    Attributes:
        running: whether trials may still come.
        prepared: the sweep, each arm at its best peak rate once that is known, and what its
            trials start from once the stages before them have made that.
        files: tables and figures by name, once there are any.
    """

    def __init__(self, prepared: PreparedSweep) -> None:
        self.running, self.prepared = True, prepared
        self.files: dict[str, str] = {}
        self._environment = tracking.environment(Path.cwd())

    def begin(self, prepared: PreparedSweep) -> None:
        """What trials start from is there now, or the peaks that they train at."""
        self.prepared = prepared
        self.keep()

    def state(self) -> SweepState:
        """The sweep as the store holds it now."""
        return read_state(self._asked(), self.prepared.store)

    def keep(self) -> None:
        """Keep what is known of every cell, so that a report can be made while trials run."""
        keep(self._asked(), self.prepared.store)

    def _asked(self) -> AskedSweep:
        prepared = self.prepared
        if again := winner_again(prepared):
            prepared = prepared.with_cells((*prepared.plan.cells, *again))
        return with_added(asked_of(prepared), prepared.store)

    def snapshot(self) -> tracking.TrackedSweep:
        """The same for the tracker."""
        return for_tracker(
            self.state(),
            command=self.prepared.plan.options.command,
            running=self.running,
            environment=self._environment,
            files=self.files,
        )


def check_storage(root: Path) -> None:
    """Make the storage folder and write into it; into its object store too.

    Raises:
        SetupError: if that fails, with the absolute path.
    """
    check_writable(root, f"the storage {root} cannot be written")
    if remote := remote_of(root):
        remote.check()


def _keep_task_data(plan: SweepPlan, store: Store) -> None:
    for evaluation in {cell.scale.evaluation for cell in plan.cells}:
        keep_task_data(evaluation, plan.options.task_data, store)


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


def write_verdict(prepared: PreparedSweep, console: PatientConsole) -> dict[str, str]:
    """Say what a funnel or a search by Optuna came to, and keep it; returns the files by name."""
    options, folder = prepared.plan.options, prepared.folder
    lines: list[str] = []
    pictures: tuple[Path, ...] = ()
    if options.search == FUNNEL and has_bases(prepared):
        lines += funnel_lines(open_funnel(prepared))
    if options.search == TPE:
        trained = points(prepared)
        lines += front_lines(trained, options.objectives)
        pictures = save_pareto(trained, options.objectives, folder)
        champion = winner(prepared)
        lines += winner_lines(champion, prepared) if champion else ()
        lines += ["", f"The study: optuna-dashboard {study_url(prepared.store)}"]
    if not lines:
        return {}
    console.print("\n" + "\n".join(lines))
    write_text(folder / "verdict.md", "\n".join(lines) + "\n")
    kept = {path.name: path.read_text("utf-8") for path in pictures if path.suffix == ".svg"}
    return {"verdict.md": "\n".join(lines) + "\n"} | kept


def _print_next(plan: SweepPlan, tracker: tracking.Tracker, console: PatientConsole) -> None:
    """The commands to go on with."""
    uri = plan.options.tracking_uri
    folder = plan.options.storage / "sweeps" / plan.sweep.name / plan.scale.name
    console.print(f"\nTable, figures and page: {folder / 'report.html'}", soft_wrap=True)
    if tracker.delivery is not None:
        server = uri if uri.startswith("http") else "http://127.0.0.1:5000"
        if server != uri:
            console.print(f"Look at every cell: {tracking.redact(tracking.ui_command(uri))}")
        console.print(f"  {tracking.experiment_url(server, tracker.delivery.experiment_id)}")
    model = shlex.join(["--model", plan.scale.brought]) if plan.scale.brought else ""
    script = f"python sweeps/{plan.sweep.name}.py {model}".rstrip()
    console.print(f"Go on: {script} --location all     (what is done is not done again)")
    console.print(f"       {script} --budget 60B       (a longer healing)")
    console.print(f"       ray job submit -- {script}  (on a cluster)")
