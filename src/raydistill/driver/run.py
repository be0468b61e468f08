"""Running a sweep: stages, trials, tracking, report. The one place where they meet."""

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raydistill.core import fault_injection as faults
from raydistill.core.errors import RaydistillError, SetupError
from raydistill.core.serialization import to_json
from raydistill.core.signals import interrupts_held
from raydistill.core.text.redaction import printed_command
from raydistill.driver.environment import environment
from raydistill.driver.session import has_bases, is_finished, train_missing
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.evaluation.lm_harness.task_data import keep_task_data
from raydistill.laws.stored import save_fit
from raydistill.planning.history.rerun_command import keep_command
from raydistill.planning.history.state import SweepState, read_state
from raydistill.planning.history.sweep_record import SweepRecord, record_of, save_record, with_added
from raydistill.planning.lr_probe import with_best_rates
from raydistill.planning.outcomes import study_url
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep, prepare
from raydistill.planning.search.brackets import open_halving
from raydistill.planning.search.conclusions import halving_lines, winner_lines
from raydistill.planning.search.selection import continue_hint, points, winner, winner_again
from raydistill.planning.search_settings import FUNNEL, TPE
from raydistill.reports.capacity_gap.fits import fits
from raydistill.reports.console.console import PipeSafeConsole, open_console, progress_shown
from raydistill.reports.figures.pareto import front_lines, save_pareto
from raydistill.reports.formats import all_formats as formats
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.formats.terminal import print_section, print_table
from raydistill.reports.reduced_scale.findings import fits as fits_of_fronts
from raydistill.reports.sources.from_state import report_of
from raydistill.reports.sweep_report import report_content
from raydistill.specs.results import TrialFailure
from raydistill.storage.cleanup import remove_leftovers
from raydistill.storage.manifest import write_text
from raydistill.storage.object_store import check_storage, upload
from raydistill.storage.sharing import held_sweep
from raydistill.storage.store import Store
from raydistill.storage.urls import storage_flag
from raydistill.tracking.destination import check_destination, default_uri
from raydistill.tracking.links import experiment_url
from raydistill.tracking.records import TrackedSweep
from raydistill.tracking.tracker import Tracker

FULL_BYTES = 32_000_000  # a storage with less room counts as full


def run(plan: SweepPlan, next_commands: Iterable[str] = ()) -> int:
    """Run what the store lacks of a sweep, then report; 0, or 1 if a trial failed.

    Args:
        plan: the sweep.
        next_commands: what to run next, a line each; read once all is done.

    Raises:
        RaydistillError: if the sweep cannot be run here, or somebody is running it.
    """
    store = Store(plan.options.storage)
    check_storage(store.root)
    console = open_console()
    with (
        held_sweep(store.root, plan.sweep.name, plan.scale.name, console.print),
        full_disk_reported(store.root),
        progress_shown(console),
    ):
        code = _run(plan, store, console, next_commands)
    upload(store.root)
    return code


@contextmanager
def full_disk_reported(root: Path) -> Iterator[None]:
    """An error in the block says so if the storage is full.

    Ray reads its own half-written files there too, whose errors tell nothing.

    Raises:
        SetupError: instead of any other error, if next to no room is left.
    """
    try:
        yield
    except RaydistillError:
        raise
    except Exception as error:
        free_bytes = shutil.disk_usage(root).free
        if free_bytes > FULL_BYTES:
            raise
        raise SetupError(
            f"the storage {root} is full, {free_bytes / 1e6:.1f} MB are left ({error}): make room, "
            "what is done is kept; the same command goes on"
        ) from error


def _run(
    plan: SweepPlan, store: Store, console: PipeSafeConsole, next_commands: Iterable[str]
) -> int:
    _keep_task_data(plan, store)
    keep_command(plan.options.command, store, plan.sweep.name, plan.scale.name)
    for message in (faults.arm(store.path("faults")), remove_leftovers(store.root)):
        if message:
            console.print(message)
    prepared = with_best_rates(prepare(plan, store))
    snapshot, uri = SweepSnapshot(prepared), plan.options.tracking_uri
    console.print(check_destination(uri, store))
    tracker = Tracker(snapshot.for_tracker, uri=uri, store=store, say=console.print)
    hint = continue_hint(prepared)
    if is_finished(prepared):
        console.print("The store has every trial of this sweep: nothing is trained.")
        snapshot.finish()
    else:
        with tracker:
            try:
                train_missing(prepared, console, snapshot.begin)
            finally:
                snapshot.finish()
    snapshot.keep()
    state = snapshot.state()
    snapshot.add_files(write_report(state, store, console))
    snapshot.add_files(write_verdict(snapshot.prepared, console))
    if hint:
        console.print(hint)
    tracker.close()
    _print_next(plan, tracker, store, console)
    _print_commands(next_commands, console)
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

    console = open_console()
    with progress_shown(console):
        probe_plan(prepared, console.print)


class SweepSnapshot:
    """A sweep as the store holds it whenever it is read; the tracker's thread reads it too."""

    def __init__(self, prepared: PreparedSweep) -> None:
        self._lock = threading.Lock()
        self._prepared, self._running = prepared, True
        self._files: dict[str, str] = {}
        self._environment = environment(Path.cwd())

    @property
    def prepared(self) -> PreparedSweep:
        """The sweep, with its bases and the best peak rates of its arms, once they are known."""
        with self._lock:
            return self._prepared

    def begin(self, prepared: PreparedSweep) -> None:
        """Take the sweep over as it is after a stage: with its bases, or its best peak rates."""
        with self._lock:
            self._prepared = prepared
        self.keep()

    def finish(self) -> None:
        """Mark the sweep as one that gets no more trials."""
        with self._lock:
            self._running = False

    def add_files(self, files: Mapping[str, str]) -> None:
        """Show these tables and figures with the sweep, by name."""
        with self._lock:
            self._files |= files

    def keep(self) -> None:
        """Keep what is known of every cell, so that a report can be made while trials run."""
        save_record(_record(self.prepared), self.prepared.store)

    def state(self) -> SweepState:
        """The sweep as the store holds it now."""
        prepared = self.prepared
        return read_state(_record(prepared), prepared.store)

    def for_tracker(self) -> TrackedSweep:
        """The sweep as MLflow is to show it."""
        with self._lock:
            prepared, running, files = self._prepared, self._running, dict(self._files)
        return for_tracker(
            read_state(_record(prepared), prepared.store),
            command=prepared.plan.options.command,
            running=running,
            environment=self._environment,
            files=files,
        )


def _record(prepared: PreparedSweep) -> SweepRecord:
    """Of every cell, with the winner on new seeds and students that were added."""
    if reruns := winner_again(prepared):
        prepared = prepared.with_cells((*prepared.plan.cells, *reruns))
    return with_added(record_of(prepared), prepared.store)


def _keep_task_data(plan: SweepPlan, store: Store) -> None:
    for evaluation in {cell.scale.evaluation for cell in plan.cells}:
        keep_task_data(evaluation, plan.options.task_data, store)


def write_report(state: SweepState, store: Store, console: PipeSafeConsole) -> dict[str, str]:
    """Print the table, and keep it with its figures, page and fits; returns the files by name."""
    report = report_content(report_of(state))
    print_table(report.table, console)
    for section in report.findings:
        print_section(section, console)
    for law in (*fits(report.capacity_gap), *fits_of_fronts(report.reduced_scale)):
        save_fit(store, law)
    folder = store.path("sweeps", state.asked.name, state.asked.scale)
    files = {"table.md": to_markdown(report.table), "table.json": to_json(report.table)}
    files |= formats.texts([report])
    for name, text in files.items():
        write_text(folder / name, text)
    return files | _svg_texts(formats.figures(report, folder))


def _svg_texts(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in paths if path.suffix == ".svg"}


def write_verdict(prepared: PreparedSweep, console: PipeSafeConsole) -> dict[str, str]:
    """Print the conclusions of a funnel or a search by Optuna; returns their files by name."""
    options, folder = prepared.plan.options, prepared.folder
    lines: list[str] = []
    pictures: tuple[Path, ...] = ()
    if options.search == FUNNEL and has_bases(prepared):
        lines += halving_lines(open_halving(prepared))
    if options.search == TPE:
        trained = points(prepared)
        lines += front_lines(trained, options.objectives)
        pictures = save_pareto(trained, options.objectives, folder)
        champion = winner(prepared)
        lines += winner_lines(champion, prepared) if champion else ()
        lines += ["", f"The study, in Optuna's database: {study_url(prepared.store)}"]
    if not lines:
        return {}
    text = "\n".join(lines)
    console.print(f"\n{text}")
    write_text(folder / "verdict.md", f"{text}\n")
    return {"verdict.md": f"{text}\n"} | _svg_texts(pictures)


def ui_command(uri: str, store: Store) -> str:
    """The command that shows MLflow's pages on a database."""
    own = uri == default_uri(store)
    words = storage_flag(store.root) if own else ("--tracking-uri", uri)
    return printed_command(["raydistill", "ui", *words])


def _print_next(plan: SweepPlan, tracker: Tracker, store: Store, console: PipeSafeConsole) -> None:
    """Print where the results are and what to run next."""
    uri = plan.options.tracking_uri
    folder = plan.options.storage / "sweeps" / plan.sweep.name / plan.scale.name
    console.print(f"\nTable, figures and page: {folder / 'report.html'}", soft_wrap=True)
    if tracker.delivery is not None:
        is_server = uri.startswith("http")
        table = experiment_url(uri, tracker.delivery.experiment_id)
        look = table if is_server else ui_command(uri, store)
        console.print(f"Look at every cell: {look}", soft_wrap=True)


def _print_commands(commands: Iterable[str], console: PipeSafeConsole) -> None:
    console.print("Go on (what is done is not done again):")
    for command in commands:
        console.print(f"  {command}", soft_wrap=True)
