"""The cells of a sweep as Tune trials: one reused function for one device and for several.

A trial on one device runs in the trial's own process, which the next trial then uses: torch is
imported once. A trial on several devices starts a Ray Train worker group (`worker_group.py`).
Tune's folder is a cache that is thrown away: a killed run is repeated, never restored.
"""

import os
import re
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import WorkerGroupError
from ray.tune import ResultGrid
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import own_errors_named
from raydistill.core.text.redaction import redact
from raydistill.core.units import format_age
from raydistill.runners.cluster.connection import WORKER_CPU, configured, device_need
from raydistill.runners.cluster.failures import ATTEMPTS, DIED, Reached, Retries, nothing_kept
from raydistill.runners.cluster.local_copy import local_storage, sync_object_store
from raydistill.runners.cluster.memory import give_back, resident_bytes
from raydistill.runners.cluster.progress import Reports, progress_received, progress_sent
from raydistill.runners.cluster.stop_signal import stop_on_signal, unless_stopped
from raydistill.runners.cluster.work import FINISHED, Candidate, Metrics, Work, paced
from raydistill.runners.tune.admission import Admission, wait_while_held
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.listener import RESIDENT, Listener
from raydistill.runners.tune.lost_processes import LostProcessError, losses_are_deaths
from raydistill.runners.tune.orphans import orphans_removed
from raydistill.specs.results import TrialFailure
from raydistill.storage.manifest import write_text

CACHE = "ray"
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # see `JsonLoggerCallback` below
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # nothing is ever restored from them
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # results come with the last report only
    "TUNE_WARN_THRESHOLD_S": "10",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would leave five seconds; see `stop_signal.py`
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """How cells are run.

    Attributes:
        folder: absolute, on storage that every node sees; holds Tune's cache and `tune.csv`.
        need: what one device is (`connection.device_need`).
        device_counts: that one trial may train on; more than one goes through Ray Train.
        concurrent: trials at once; by default as many as the largest cluster could hold for
            trials on several devices, and no cap for others, so that a node that is added later
            gets its share.
        scheduler: Tune's; it may stop a trial before its end.
        admission: which trials may run after a node ran out of memory; one for all runs of a sweep.
    """

    folder: Path
    need: Mapping[str, float] = field(default_factory=device_need)
    device_counts: range = range(1, 2)
    concurrent: int | None = None
    scheduler: TrialScheduler = field(default_factory=FIFOScheduler)
    admission: Admission = field(default_factory=Admission)

    @property
    def trial_need(self) -> dict[str, float]:
        """What the trial's own process holds; next to nothing if it only starts others.

        (Tune refuses 0. `WORKER_CPU` leaves room for it.)
        """
        if max(self.device_counts) > 1:
            return {"cpu": 1 - WORKER_CPU}
        return {name.lower(): amount for name, amount in self.need.items()}

    @property
    def at_once(self) -> int:
        """Trials at once; 0 means no cap to Tune."""
        if self.concurrent is not None:
            return self.concurrent
        if max(self.device_counts) == 1:
            return 0
        return max(1, configured(worker_need(self.need)) // max(self.device_counts))


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOutcome:
    """Results of the cells, by key."""

    finished: Mapping[str, Metrics]  # the last item of every work that came to its end
    stopped: Mapping[str, Metrics]  # the last report of those that the scheduler stopped early
    failures: Mapping[str, TrialFailure]  # `ATTEMPTS` times without getting further in between


def worker_need(need: Mapping[str, float]) -> dict[str, float]:
    """What one rank of a trial on several devices holds."""
    return {**need, "CPU": WORKER_CPU}


def run_jobs(
    candidates: Sequence[Candidate],
    searcher: InOrder,
    *,
    work: Work,
    setup: Setup,
    on_progress: Callable[[str, Metrics], None],
    on_stages: Callable[[Reports], None] = lambda _reports: None,
    reached: Reached = nothing_kept,
) -> TuneOutcome:
    """Run the cells that `searcher` suggests, until it suggests no more; a failure stops no other.

    Args:
        candidates: every cell that `searcher` may suggest; equal keys have equal jobs.
        searcher: `InOrder`, or Optuna's `Study` which is one.
        work: the generator function that a trial runs.
        setup: where, and on how many devices.
        on_progress: called here, in the driver, with a cell's key and its newest report.
        on_stages: called here about once a second, in another thread, with the newest progress
            of what cells do besides, by key.
        reached: a cell's stored progress, by its key.

    Raises:
        KeyboardInterrupt: if the user stopped the run.
    """
    assert setup.folder.is_absolute(), setup.folder
    jobs = {cell.key: cell.job for cell in candidates}
    names = {cell.key: _name(cell) for cell in candidates}
    alone = max(setup.device_counts) == 1
    listener = Listener(on_progress, Retries(reached), setup.admission, names, alone)
    function = tune.with_resources(
        tune.with_parameters(
            _trial,
            work=work,
            jobs=jobs,
            devices=setup.device_counts,
            gpu="GPU" in setup.need,
            folder=setup.folder / CACHE,
        ),
        setup.trial_need,
    )
    sync_object_store()
    cleanup = orphans_removed() if max(setup.device_counts) > 1 else nullcontext()
    with (
        _cache(setup.folder) as cache,
        _environment(searcher),
        stop_on_signal(),
        cleanup,
        progress_received(on_stages),
        losses_are_deaths(listener.note_failure),
    ):
        grid = tune.Tuner(
            function,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=setup.scheduler,
                num_samples=len(candidates),
                max_concurrent_trials=setup.at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.config["key"]),
            ),
            run_config=tune.RunConfig(
                name=cache.name,
                storage_path=str(cache.parent),
                failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1),
                callbacks=[listener, JsonLoggerCallback()],  # Tune's tables read these files
                verbose=0,
            ),
        ).fit()
        sync_object_store()
        write_text(setup.folder / "tune.csv", grid.get_dataframe().to_csv(index=False))
        return _outcome(grid, listener)


def _trial(
    config: Mapping[str, Any],
    *,
    work: Work,
    jobs: Mapping[str, object],
    devices: range,
    gpu: bool,
    folder: Path,
) -> None:
    """What Tune calls for every cell, in a process that later cells use again."""
    key = config["key"]
    wait_while_held(key)
    if max(devices) > 1:
        from raydistill.runners.tune.worker_group import train  # noqa: PLC0415  (Ray Train is seconds)

        train(work, jobs[key], devices=devices, gpu=gpu, key=key, folder=folder)
        return
    with own_errors_named(), progress_sent(key), local_storage(jobs[key]) as (job,):
        for metrics in paced(work(job), agree=unless_stopped):
            tune.report({**metrics, RESIDENT: resident_bytes()})
    give_back()


def _name(cell: Candidate) -> str:
    """A trial in a message: what it removes, of which base."""
    age = cell.axes.get("age", "")
    words = (format_age(age) if isinstance(age, int) else age, cell.axes.get("location", ""))
    return " ".join(str(word) for word in words if word != "")


def _outcome(grid: ResultGrid, listener: Listener) -> TuneOutcome:
    finished: dict[str, Metrics] = {}
    stopped: dict[str, Metrics] = {}
    failures: dict[str, TrialFailure] = {}
    for result in grid:
        metrics = result.metrics or {}
        key = Path(result.path).name  # all that Tune knows of one that died at once
        if result.error is not None:
            failures[key] = _failure(key, result.error, listener.attempts.get(key, 0))
        elif FINISHED in metrics:
            finished[key] = metrics
        elif metrics.get("done"):
            stopped[key] = metrics
        else:
            raise KeyboardInterrupt
    return TuneOutcome(finished=finished, stopped=stopped, failures=failures)


def _failure(key: str, error: Exception, attempts: int) -> TrialFailure:
    """A trial's exception as a value; of several ranks, that of the last one listed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, LostProcessError):
        return TrialFailure(
            trial_id=key,
            where="training",
            message=redact(str(cause)),
            traceback="",
            attempts=attempts,
        )
    is_own = isinstance(cause, OwnCodeError)  # it names file, line and kind
    message = str(cause) if is_own else f"{type(cause).__name__}: {cause}"
    if isinstance(cause, WorkerGroupError):  # its text is a traceback per rank
        message = message.strip().splitlines()[-1]
    if isinstance(cause, ActorDiedError):  # its text is a page of possible reasons
        message = DIED
    return TrialFailure(
        trial_id=key,
        where="training",
        message=redact(message),
        traceback=redact(re.sub(r"\x1b\[\d+m", "", "".join(traceback.format_exception(error)))),
        attempts=attempts,
    )


@contextmanager
def _cache(folder: Path) -> Iterator[Path]:
    """An empty folder for Tune and Train, gone afterwards."""
    cache = folder / CACHE
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    try:
        yield cache
    finally:
        shutil.rmtree(cache, ignore_errors=True)


@contextmanager
def _environment(searcher: InOrder) -> Iterator[None]:
    """Tune's settings, most of which it takes from the environment only."""
    settings = QUIET | {"TUNE_MAX_PENDING_TRIALS_PG": str(searcher.queue)}
    before = {name: os.environ[name] for name in settings if name in os.environ}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            del os.environ[name]
        os.environ.update(before)
