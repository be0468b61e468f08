"""A stop that loses nothing: whatever trains ends between two steps, with a checkpoint.

The driver asks, and every worker of its job looks about once a second (`work.paced`).
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from raydistill.interrupts import SIGNALS, interruption

SAID = "stopping at the next step, with a checkpoint; once more stops at once"


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """The first ^C or SIGTERM asks the work of this job to stop, a second one ends the block.

    Raises:
        KeyboardInterrupt: at the end of the block, or at once the second time.
        Terminated: the same, of SIGTERM.
    """
    came: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise interruption(number)
        # Ray may be in the middle of a call here: ask from beside it.
        threading.Thread(target=_ask, daemon=True).start()

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            _internal_kv_del(_key())
    if came:
        raise interruption(came[0])


def stop_asked() -> bool:
    """Whether this job was asked to stop; in its driver and on its workers."""
    return ray.is_initialized() and bool(_internal_kv_exists(_key()))


def unless_stopped(number: int) -> int:
    """`number`, or 0 if this job was asked to stop: what a single rank agrees on."""
    return 0 if stop_asked() else number


def _ask() -> None:
    print(SAID, file=sys.stderr, flush=True)
    _internal_kv_put(_key(), "asked")


def _key() -> str:
    return f"raydistill/stop/{ray.get_runtime_context().get_job_id()}"
