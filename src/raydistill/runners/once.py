"""A function that runs once, on whatever node has room: corpus, base, the base's scores."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import RayTaskError

from raydistill.errors import RaydistillError
from raydistill.runners.cluster import Need
from raydistill.runners.local_copy import in_step, on_this_node
from raydistill.runners.stopping import stop_on_signal, unless_stopped
from raydistill.runners.work import Metrics, Work, paced

P = ParamSpec("P")
T = TypeVar("T")
J = TypeVar("J")


def run_once(function: Callable[P, T], need: Need, *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` as one Ray task that holds `need`; returns when it is done.

    Raises:
        RaydistillError: the function's own, as if it had been called here.
        RayTaskError: any other error, with the worker's traceback.
    """
    in_step()
    task = ray.remote(num_cpus=need.get("CPU", 0), num_gpus=need.get("GPU", 0))(_called)
    result: T = _results([task.remote(function, *args, **kwargs)])[0]
    return result


def run_each_once(function: Callable[[J], T], need: Need, jobs: Sequence[J]) -> list[T]:
    """`function(job)` for every job, side by side where there is room; the results in order.

    Raises:
        RaydistillError: the function's own, as if it had been called here.
        RayTaskError: any other error, with the worker's traceback.
    """
    in_step()
    task = ray.remote(num_cpus=need.get("CPU", 0), num_gpus=need.get("GPU", 0))(_called)
    return _results([task.remote(function, job) for job in jobs])


def _called(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """On a worker: the function on this node's copy of the storage."""
    with on_this_node(*args) as moved:
        return function(*moved, **kwargs)


def _results(tasks: list[Any]) -> list[Any]:
    try:
        results: list[Any] = ray.get(tasks)
    except RayTaskError as error:
        raise _own(error) from None
    in_step()
    return results


def follow_once(
    work: Work, job: object, need: Need, on_progress: Callable[[Metrics], None]
) -> Metrics:
    """A whole work as one Ray task, heard about once a second; its last item.

    Raises:
        RaydistillError: the work's own, as if it had been called here.
        RayTaskError: any other error, with the worker's traceback.
        KeyboardInterrupt: if the user stopped it; it then went on to the next step.
    """
    task = ray.remote(
        num_cpus=need.get("CPU", 0), num_gpus=need.get("GPU", 0), num_returns="streaming"
    )(_paced_alone)
    last: Metrics = {}
    in_step()
    with stop_on_signal():
        try:
            for item in task.remote(work, job):
                last = ray.get(item)
                on_progress(last)
        except RayTaskError as error:
            raise _own(error) from None
    in_step()
    return last


def _paced_alone(work: Work, job: object) -> Iterator[Metrics]:
    with on_this_node(job) as (moved,):
        yield from paced(work(moved), agree=unless_stopped)


def _own(error: RayTaskError) -> Exception:
    return error.cause if isinstance(error.cause, RaydistillError) else error
