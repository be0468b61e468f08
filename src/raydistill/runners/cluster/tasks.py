"""Single Ray tasks, on whatever node has room: the corpus, a base, a base's scores."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError

from raydistill.core.parts import own_errors_named
from raydistill.runners.cluster.connection import Need, ray_options
from raydistill.runners.cluster.failures import Reached, Retries, nothing_kept, retry_or_raise
from raydistill.runners.cluster.local_copy import local_storage, sync_object_store
from raydistill.runners.cluster.memory import MemoryShortage
from raydistill.runners.cluster.progress import progress_sent, tasks_shown

P = ParamSpec("P")
T = TypeVar("T")
J = TypeVar("J")


def run_once(function: Callable[P, T], need: Need, *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` as one Ray task that holds `need`; returns when it is done.

    Raises:
        RaydistillError: the function's own, as if it had been called here; or that its process or
            node was lost, again and again.
        RayTaskError: any other error, with the worker's traceback.
    """
    result: T = _results(function, need, [(args, kwargs)])[0]
    return result


def run_each_once(
    function: Callable[[J], T], need: Need, jobs: Sequence[J], reached: Reached = nothing_kept
) -> list[T]:
    """`function(job)` for every job, side by side where there is room; the results in order.

    Args:
        function: found by name on a worker.
        need: of each job.
        jobs: begun in this order.
        reached: how far the job of a number (as text) is for good: one whose process is lost is
            tried again for as long as it gets further.

    Raises:
        RaydistillError: as `run_once`.
        RayTaskError: any other error, with the worker's traceback.
    """
    return _results(function, need, [((job,), {}) for job in jobs], reached)


def _call(name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """On a worker: call the function with this node's copy of the storage."""
    with own_errors_named(), progress_sent(name), local_storage(*args) as local_args:
        return function(*local_args, **kwargs)


def _results(
    function: Callable[..., Any],
    need: Need,
    calls: Sequence[tuple[tuple[Any, ...], Any]],
    reached: Reached = nothing_kept,
) -> list[Any]:
    """The results of all calls; one whose process was lost is repeated.

    Not by Ray, which repeats what was killed for memory at once and without end.
    """
    sync_object_store()
    with tasks_shown(len(calls)):
        results = dict(_completed(function, need, calls, reached))
    sync_object_store()
    return [results[number] for number in range(len(calls))]


def _completed(
    function: Callable[..., Any],
    need: Need,
    calls: Sequence[tuple[tuple[Any, ...], Any]],
    reached: Reached,
) -> Iterator[tuple[int, Any]]:
    """The number and the result of every call, as they are there."""
    task = ray.remote(**ray_options(need), max_retries=0)(_call)
    retries, at_once = Retries(reached), len(calls)
    waiting, running = deque(range(len(calls))), dict[Any, int]()
    while waiting or running:
        while waiting and len(running) < at_once:
            number = waiting.popleft()
            args, kwargs = calls[number]
            name = f"{function.__name__} {number}"
            running[task.remote(name, function, *args, **kwargs)] = number
        (reference,), _ = ray.wait(list(running))
        number = running.pop(reference)
        try:
            yield number, ray.get(reference)
        except RayError as error:
            shortage = retry_or_raise(error, function.__name__, retries, str(number))
            waiting.appendleft(number)
            if shortage:
                at_once = max(1, len(running) + 1 - surplus(shortage))


def surplus(shortage: MemoryShortage) -> int:
    """How many of this job's processes were too many on a node whose memory ran out."""
    job_id = ray.get_runtime_context().get_job_id()
    own_bytes = [w.resident_bytes for w in shortage.workers if w.job_id == job_id]
    if not own_bytes:
        return 1
    return len(own_bytes) - shortage.fitting(own_bytes, max(own_bytes))
