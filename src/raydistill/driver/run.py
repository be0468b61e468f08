"""Running a sweep: stages, trials, tracking, report. The one place where they meet."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raydistill.core import fault_injection as faults
from raydistill.core.errors import RaydistillError, SetupError
from raydistill.core.redaction import redact
from raydistill.core.serialization import to_json
from raydistill.core.signals import interrupts_held
from raydistill.driver.session import has_bases, is_finished, train_missing
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.evaluation.lm_harness.task_data import keep_task_data
from raydistill.planning.history.state import SweepState, read_state
from raydistill.planning.history.sweep_record import SweepRecord, keep, record_of, with_added
from raydistill.planning.lr_probe import with_best_rates
from raydistill.planning.outcomes import study_url
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep, prepare
from raydistill.planning.search.brackets import open_funnel
from raydistill.planning.search.conclusions import funnel_lines, winner_lines
from raydistill.planning.search.selection import continue_hint, points, winner, winner_again
from raydistill.planning.search_settings import FUNNEL, TPE
from raydistill.reports.console.console import PatientConsole, open_console
from raydistill.reports.figures.pareto import front_lines, save_pareto
from raydistill.reports.formats import all_formats as formats
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.formats.terminal import print_table
from raydistill.reports.sources.from_state import for_report
from raydistill.reports.sweep_report import chapter
from raydistill.specs.results import TrialFailure
from raydistill.storage.cleanup import remove_leftovers
from raydistill.storage.lock import hold_lock
from raydistill.storage.manifest import write_text
from raydistill.storage.object_store import check_storage, upload
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination
from raydistill.tracking.environment import environment
from raydistill.tracking.links import experiment_url, ui_command
from raydistill.tracking.records import TrackedSweep
from raydistill.tracking.tracker import Tracker

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
    with hold_lock(lock, console.print), full_disk_named(store.root):
        code = _run(plan, store, console)
    upload(store.root)
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
    if swept := remove_leftovers(store.root):
        console.print(swept)
    prepared = with_best_rates(prepare(plan, store))
    tracked, uri = SweepSnapshot(prepared), plan.options.tracking_uri
    console.print(check_destination(uri, store))
    tracker = Tracker(tracked.snapshot, uri=uri, store=store, say=console.print)
    told = continue_hint(prepared)
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


class SweepSnapshot:
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
        self._environment = environment(Path.cwd())

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

    def _asked(self) -> SweepRecord:
        prepared = self.prepared
        if again := winner_again(prepared):
            prepared = prepared.with_cells((*prepared.plan.cells, *again))
        return with_added(record_of(prepared), prepared.store)

    def snapshot(self) -> TrackedSweep:
        """The same for the tracker."""
        return for_tracker(
            self.state(),
            command=self.prepared.plan.options.command,
            running=self.running,
            environment=self._environment,
            files=self.files,
        )


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


def _print_next(plan: SweepPlan, tracker: Tracker, console: PatientConsole) -> None:
    """The commands to go on with."""
    uri = plan.options.tracking_uri
    folder = plan.options.storage / "sweeps" / plan.sweep.name / plan.scale.name
    console.print(f"\nTable, figures and page: {folder / 'report.html'}", soft_wrap=True)
    if tracker.delivery is not None:
        server = uri if uri.startswith("http") else "http://127.0.0.1:5000"
        if server != uri:
            console.print(f"Look at every cell: {redact(ui_command(uri))}")
        console.print(f"  {experiment_url(server, tracker.delivery.experiment_id)}")
    model = shlex.join(["--model", plan.scale.brought]) if plan.scale.brought else ""
    script = f"python sweeps/{plan.sweep.name}.py {model}".rstrip()
    console.print(f"Go on: {script} --location all     (what is done is not done again)")
    console.print(f"       {script} --budget 60B       (a longer healing)")
    console.print(f"       ray job submit -- {script}  (on a cluster)")
