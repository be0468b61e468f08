"""Lost processes as Tune knows them.

Tune (ray 2.60, `air/execution/_internal/actor_manager.py`) knows two kinds of failed call, the
actor's death and an error of its own code, and ends the whole run at any other. Ray has others
for a lost process: `OutOfMemoryError` if its memory monitor killed it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    WorkerCrashedError,
)

from raydistill.runners.cluster.memory import MemoryShortage, shortage_in

LOST = (NodeDiedError, ObjectLostError, OutOfDiskError, OutOfMemoryError, WorkerCrashedError)


class LostProcessError(ActorDiedError):  # type: ignore[misc]  # ray has no types
    """The death of a trial's process, or of one that it needs, for a reason that is known."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.error_msg = reason


@contextmanager
def losses_are_deaths(
    on_failure: Callable[[Exception, MemoryShortage | None], None],
) -> Iterator[None]:
    """Within the block, Tune gets every lost process as an actor's death.

    Args:
        on_failure: called just before Tune handles a failure, with it and the shortage of memory
            that was its reason, if it was.
    """
    task_failed = RayActorManager._actor_task_failed
    start_failed = RayActorManager._actor_start_failed

    def converted(error: Exception) -> Exception:
        shortage = shortage_in(error)
        on_failure(error, shortage)
        if shortage:
            return LostProcessError(str(shortage))
        if isinstance(error, LOST):
            return LostProcessError(str(error).strip().partition("\n")[0])
        return error

    def on_task_failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        task_failed(self, tracked_actor_task, converted(exception))

    def on_start_failed(self: Any, tracked_actor: Any, exception: Exception) -> None:
        start_failed(self, tracked_actor, converted(exception))

    RayActorManager._actor_task_failed = on_task_failed
    RayActorManager._actor_start_failed = on_start_failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = task_failed
        RayActorManager._actor_start_failed = start_failed
