"""A function that runs once, on whatever node has room: corpus, base, the base's scores."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.failures import ATTEMPTS, Reached, Tries, nothing_kept, told
from raydistill.runners.cluster.local_copy import local_storage, sync_object_store
from raydistill.runners.cluster.stop_signal import stop_on_signal, unless_stopped
from raydistill.runners.cluster.work import Metrics, Work, paced

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
    sync_object_store()
    result: T = _results(function, [_task(need).remote(function, *args, **kwargs)])[0]
    return result


def run_each_once(function: Callable[[J], T], need: Need, jobs: Sequence[J]) -> list[T]:
    """`function(job)` for every job, side by side where there is room; the results in order.

    Raises:
        RaydistillError: as `run_once`.
        RayTaskError: any other error, with the worker's traceback.
    """
    sync_object_store()
    task = _task(need)
    return _results(function, [task.remote(function, job) for job in jobs])


def _task(need: Need) -> Any:
    cpus, gpus = need.get("CPU", 0), need.get("GPU", 0)
    return ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=ATTEMPTS - 1)(_called)


def _called(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """On a worker: the function on this node's copy of the storage."""
    with local_storage(*args) as moved:
        return function(*moved, **kwargs)


def _results(function: Callable[..., Any], tasks: list[Any]) -> list[Any]:
    try:
        results: list[Any] = ray.get(tasks)
    except RayError as error:
        raise told(error, function.__name__) from None
    sync_object_store()
    return results


def follow_once(
    work: Work,
    job: object,
    need: Need,
    on_progress: Callable[[Metrics], None],
    reached: Reached = nothing_kept,
) -> Metrics:
    """A whole work as one Ray task, heard about once a second; its last item.

    Where its process or node is lost, it is tried again, as often as it gets further.

    Raises:
        RaydistillError: as `run_once`.
        RayTaskError: any other error, with the worker's traceback.
        KeyboardInterrupt: if the user stopped it; it then went on to the next step.
    """
    task = ray.remote(
        num_cpus=need.get("CPU", 0),
        num_gpus=need.get("GPU", 0),
        num_returns="streaming",
        max_retries=0,  # Ray passes over as many items of a retry as it had of the try before
    )(_paced_alone)
    tries = Tries(reached)
    sync_object_store()
    with stop_on_signal():
        while True:
            try:
                last = _followed(task.remote(work, job), on_progress)
                break
            except RayError as error:
                if isinstance(error, RayTaskError) or not tries.again(work.__name__):
                    raise told(error, work.__name__) from None
    sync_object_store()
    return last


def _followed(items: Iterator[Any], on_progress: Callable[[Metrics], None]) -> Metrics:
    last: Metrics = {}
    for item in items:
        last = ray.get(item)
        on_progress(last)
    return last


def _paced_alone(work: Work, job: object) -> Iterator[Metrics]:
    with local_storage(job) as (moved,):
        yield from paced(work(moved), agree=unless_stopped)
