"""What a user is told where Ray has lost a task: one line with the reason, no traceback."""

from collections.abc import Callable
from contextlib import suppress

from ray.exceptions import ActorDiedError, RayError, RayTaskError, WorkerCrashedError

from raydistill.core.errors import RaydistillError, SetupError
from raydistill.runners.cluster.local_copy import sync_object_store

DIED = "its process died: it was killed, had no memory left, or crashed"


def told(error: RayError, what: str) -> Exception:
    """What is to be raised in an error's stead.

    Args:
        error: that Ray gave instead of a result.
        what: had no result.

    Returns:
        The task's own mistake, if it said which; its own error with the worker's traceback, if it
        is of no kind we know; else a `SetupError` that says how it was lost.
    """
    if isinstance(error, RayTaskError):
        return error.cause if isinstance(error.cause, RaydistillError) else error
    died = isinstance(error, WorkerCrashedError | ActorDiedError)
    reason = DIED if died else str(error).strip().partition("\n")[0]
    return SetupError(f"{what} failed, {reason}; what is done is kept, the same command goes on")


ATTEMPTS = 3

Reached = Callable[[str], tuple[int, ...]]
"""How far something has come for good, by its key: greater once a next try has less to do."""


def nothing_kept(key: str) -> tuple[int, ...]:
    """Of work that begins anew with every try."""
    del key
    return ()


class Tries:
    """Counts failed tries, by key, since the last one that got further than those before it.

    Args:
        reached: asked in the driver, at each failure.
    """

    def __init__(self, reached: Reached) -> None:
        self._reached = reached
        self._failed: dict[str, tuple[tuple[int, ...], int]] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles what its trials hold for a restart that never comes."""
        return {}

    def again(self, key: str) -> bool:
        """Whether there is to be another try, now that one more has failed."""
        with suppress(SetupError):  # else what was last heard of the object store counts
            sync_object_store()
        now = self._reached(key)
        furthest, failed = self._failed.get(key, (now, 0))
        self._failed[key] = (now, 1) if now > furthest else (furthest, failed + 1)
        return self._failed[key][1] < ATTEMPTS
