"""Failures of Ray tasks: one readable line for the user, and how often a task is retried."""

import os
import time
from collections.abc import Callable
from contextlib import suppress

from ray.exceptions import ActorDiedError, RayError, RayTaskError, WorkerCrashedError

from raydistill.core.errors import RaydistillError, SetupError
from raydistill.runners.cluster.local_copy import sync_object_store
from raydistill.runners.cluster.memory import MemoryShortage, pause_after, shortage_in, warn
from raydistill.runners.cluster.stop_signal import stop_requested

ATTEMPTS = 3  # of a task or trial that gets no further in between

DIED = "its process died: it was killed, had no memory left, or crashed"

Reached = Callable[[str], tuple[int, ...]]
"""A key's progress that is stored for good: greater once a retry has less to do."""


def readable_error(error: RayError, task: str) -> Exception:
    """The exception to raise in place of one of Ray's.

    Args:
        error: what Ray raised instead of returning a result.
        task: what failed, in the user's words.

    Returns:
        The task's own `RaydistillError`, if it raised one; `error` with the worker's traceback, if
        it raised another; else a `SetupError` that says how the task was lost.
    """
    shortage = shortage_in(error)
    if isinstance(error, RayTaskError) and not shortage:
        return error.cause if isinstance(error.cause, RaydistillError) else error
    died = isinstance(error, WorkerCrashedError | ActorDiedError)
    reason = shortage or (DIED if died else str(error).strip().partition("\n")[0])
    return SetupError(f"{task} failed, {reason}; what is done is kept, the same command goes on")


def nothing_kept(key: str) -> tuple[int, ...]:
    """`Reached` of work that begins anew with every attempt."""
    del key
    return ()


class Retries:
    """Counts failed attempts, by key, since the last one that got further than those before it.

    Args:
        reached: called in the driver, at each failure.
    """

    def __init__(self, reached: Reached) -> None:
        self._reached = reached
        self._failed: dict[str, tuple[tuple[int, ...], int]] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles what its trials hold for a restart that never comes."""
        return {}

    def should_retry(self, key: str) -> bool:
        """Whether to try again, now that one more attempt has failed."""
        with suppress(SetupError):  # else what the object store held before counts
            sync_object_store()
        now = self._reached(key)
        furthest, failed = self._failed.get(key, (now, 0))
        self._failed[key] = (now, 1) if now > furthest else (furthest, failed + 1)
        return self._failed[key][1] < ATTEMPTS

    def failed(self, key: str) -> int:
        """How many attempts have failed since the last that got further."""
        return self._failed[key][1]


def retry_or_raise(
    error: RayError, task: str, retries: Retries, key: str = ""
) -> MemoryShortage | None:
    """Return when a task whose process or node was lost is to be tried again.

    After a kill for memory that is after a pause, which a stop ends.

    Args:
        error: what Ray raised.
        task: what failed, in the user's words.
        retries: counts this failure.
        key: of the task, if `retries` counts several.

    Returns:
        the shortage of memory that was the reason, if it was.

    Raises:
        Exception: `readable_error`, if the task itself failed, or was lost too often.
    """
    shortage = shortage_in(error)
    itself = isinstance(error, RayTaskError) and not shortage
    if itself or not retries.should_retry(key):
        raise readable_error(error, task) from None
    if shortage:
        seconds = pause_after(retries.failed(key))
        warn(f"{task}: {shortage}; it is tried again in {seconds:g} s")
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not stop_requested():
            time.sleep(0.2)
    return shortage


def likely_cause(error: Exception) -> str:
    """What of the environment an error of Ray's comes from, in parentheses; empty if unknown."""
    home, folders = os.environ.get("HOME", "/"), ("RAY_TMPDIR", "TMPDIR")
    named = next((name for name in folders if name in os.environ), "")
    if "AF_UNIX" in str(error) and named:
        cure = "set RAY_TMPDIR to a short folder, such as /tmp"
        return f" ({named}={os.environ[named]} is too long a folder for Ray's sockets: {cure})"
    return "" if os.access(home, os.W_OK) else f" (HOME={home}, where Ray keeps its token)"
