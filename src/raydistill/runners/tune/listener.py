"""What the driver does while Tune runs trials: reports, retries, and who may begin."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray import tune
from ray._private.state import state

from raydistill.core.errors import OwnCodeError
from raydistill.runners.cluster.failures import Retries
from raydistill.runners.cluster.memory import MemoryShortage, warn
from raydistill.runners.cluster.work import Metrics
from raydistill.runners.tune.admission import Admission, Process, hold, release

RESIDENT = "resident_bytes"  # in a report of a trial on one device: of its process


class Listener(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Passes reports on, and decides whether and when a failed trial is retried.

    Args:
        on_progress: called with a trial's key and its newest report.
        retries: counts failures.
        admission: which trials may run now.
        names: of trials, for the user, by key.
        in_own_process: whether a trial runs there; one on several devices runs in its ranks.

    Attributes:
        attempts: of trials that have failed for good, by key.
    """

    def __init__(
        self,
        on_progress: Callable[[str, Metrics], None],
        retries: Retries,
        admission: Admission,
        names: Mapping[str, str],
        in_own_process: bool,
    ) -> None:
        self._on_progress, self._retries = on_progress, retries
        self._admission, self._names, self._in_own_process = admission, names, in_own_process
        self._shortage: MemoryShortage | None = None  # behind the failure that Tune handles now
        self._is_certain = False  # whether another attempt would fail too
        self.attempts: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restart that never comes."""
        return {}

    def note_failure(self, error: Exception, shortage: MemoryShortage | None) -> None:
        """What Tune handles next, and the shortage of memory that was its reason, if it was."""
        cause = getattr(error, "cause", error)  # the same step diverges again
        self._is_certain = isinstance(cause, OwnCodeError | FloatingPointError)
        self._shortage = shortage

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for trial in trials:
            if "should_recover" not in vars(trial):  # Tune would count over a trial's whole life
                trial.should_recover = partial(self._should_retry, trial.config["key"])
        for key in self._admission.due():
            release(key)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["key"]
        process = _process_of(trial) if self._in_own_process else Process()
        if self._admission.begin(key, process):
            hold(key)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._admission.report(trial.config["key"], result.get(RESIDENT, 0))
        self._on_progress(trial.config["key"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.attempts[trial.config["key"]] = trial.num_failures
        self._end(trial)

    def _end(self, trial: Any) -> None:
        self._admission.end(trial.config["key"])
        release(trial.config["key"])

    def _should_retry(self, key: str) -> bool:
        retry = self._retries.should_retry(key) and not self._is_certain
        if retry and self._shortage:
            failed = self._retries.failed(key)
            when = self._admission.lose(key, self._shortage, failed)
            warn(f"{self._names[key]}: {self._shortage}; it is tried again {when}")
        return retry


def _process_of(trial: Any) -> Process:
    """Where a trial's process is; Ray's account, which asks no process."""
    info = state.actor_table(trial.temporary_state.ray_actor._actor_id.hex())
    if not info:
        return Process()
    return Process(node_ip=info["Address"]["IPAddress"], pid=info["Pid"])
