"""Single Ray tasks, on whatever node has room: the corpus, a base, a base's scores."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from raydistill.runners.cluster.connection import Need, ray_options
from raydistill.runners.cluster.failures import (
    ATTEMPTS,
    Reached,
    Retries,
    nothing_kept,
    readable_error,
)
from raydistill.runners.cluster.local_copy import local_storage, sync_object_store
from raydistill.runners.cluster.progress import progress_sent, tasks_shown
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
    task = _task(need).remote(function.__name__, function, *args, **kwargs)
    result: T = _results(function, [task])[0]
    return result


def run_each_once(function: Callable[[J], T], need: Need, jobs: Sequence[J]) -> list[T]:
    """`function(job)` for every job, side by side where there is room; the results in order.

    Raises:
        RaydistillError: as `run_once`.
        RayTaskError: any other error, with the worker's traceback.
    """
    sync_object_store()
    task = _task(need)
    tasks = [task.remote(f"{function.__name__} {n}", function, job) for n, job in enumerate(jobs)]
    return _results(function, tasks)


def _task(need: Need) -> Any:
    return ray.remote(**ray_options(need), max_retries=ATTEMPTS - 1)(_call)


def _call(name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """On a worker: call the function with this node's copy of the storage."""
    with progress_sent(name), local_storage(*args) as local_args:
        return function(*local_args, **kwargs)


def _results(function: Callable[..., Any], tasks: list[Any]) -> list[Any]:
    try:
        with tasks_shown(len(tasks)):
            results: list[Any] = ray.get(tasks)
    except RayError as error:
        raise readable_error(error, function.__name__) from None
    sync_object_store()
    return results


def follow_once(
    work: Work,
    job: object,
    need: Need,
    on_progress: Callable[[Metrics], None],
    reached: Reached = nothing_kept,
) -> Metrics:
    """Run a generator as one Ray task that reports about once a second; returns its last item.

    If its process or node is lost, it is retried, as long as it gets further.

    Raises:
        RaydistillError: as `run_once`.
        RayTaskError: any other error, with the worker's traceback.
        KeyboardInterrupt: if the user stopped it, which ends it at its next step.
    """
    task = ray.remote(
        **ray_options(need),
        num_returns="streaming",
        max_retries=0,  # Ray skips as many items of a retry as it had of the attempt before
    )(_paced_alone)
    retries = Retries(reached)
    sync_object_store()
    with stop_on_signal():
        while True:
            try:
                last = _follow(task.remote(work, job), on_progress)
                break
            except RayError as error:
                if isinstance(error, RayTaskError) or not retries.should_retry(work.__name__):
                    raise readable_error(error, work.__name__) from None
    sync_object_store()
    return last


def _follow(items: Iterator[Any], on_progress: Callable[[Metrics], None]) -> Metrics:
    last: Metrics = {}
    for item in items:
        last = ray.get(item)
        on_progress(last)
    return last


def _paced_alone(work: Work, job: object) -> Iterator[Metrics]:
    with local_storage(job) as (local_job,):
        yield from paced(work(local_job), agree=unless_stopped)
