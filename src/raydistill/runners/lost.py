"""What a user is told where Ray has lost a task: one line with the reason, no traceback."""

from ray.exceptions import ActorDiedError, RayError, RayTaskError, WorkerCrashedError

from raydistill.errors import RaydistillError, SetupError

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
