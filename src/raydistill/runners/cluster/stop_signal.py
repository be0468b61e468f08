"""A stop that loses nothing: whatever trains ends between two steps, with a checkpoint.

The driver requests it, and every worker of its job looks about once a second (`work.paced`).
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from raydistill.core.signals import interruption, signals_noted

STOPPING = "stopping at the next step, with a checkpoint; once more stops at once"


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """The first ^C or SIGTERM requests a stop of this job's work, a second one ends the block.

    Raises:
        KeyboardInterrupt: at the end of the block, or at once the second time.
        Terminated: the same, of SIGTERM.
    """

    def on_signal(received: list[int]) -> None:
        if len(received) > 1:
            raise interruption(received[-1])
        # Ray may be in the middle of a call here: request it from another thread.
        threading.Thread(target=_request_stop, daemon=True).start()

    with signals_noted(on_signal) as received:
        try:
            yield
        finally:
            if received:
                _internal_kv_del(_key())


def stop_requested() -> bool:
    """Whether this job is to stop; in its driver and on its workers."""
    return ray.is_initialized() and bool(_internal_kv_exists(_key()))


def unless_stopped(number: int) -> int:
    """`number`, or 0 if this job is to stop: the `agree` of a single rank."""
    return 0 if stop_requested() else number


def _request_stop() -> None:
    print(STOPPING, file=sys.stderr, flush=True)
    _internal_kv_put(_key(), "asked")


def _key() -> str:
    return f"raydistill/stop/{ray.get_runtime_context().get_job_id()}"
