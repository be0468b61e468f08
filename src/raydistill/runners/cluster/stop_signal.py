"""A stop that loses nothing: whatever trains ends between two steps, with a checkpoint.

The driver asks, and every worker of its job looks about once a second (`work.paced`).
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from raydistill.core.signals import interruption, signals_noted

SAID = "stopping at the next step, with a checkpoint; once more stops at once"


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """The first ^C or SIGTERM asks the work of this job to stop, a second one ends the block.

    Raises:
        KeyboardInterrupt: at the end of the block, or at once the second time.
        Terminated: the same, of SIGTERM.
    """

    def ask(came: list[int]) -> None:
        if len(came) > 1:
            raise interruption(came[-1])
        # Ray may be in the middle of a call here: ask from beside it.
        threading.Thread(target=_ask, daemon=True).start()

    with signals_noted(ask) as came:
        try:
            yield
        finally:
            if came:
                _internal_kv_del(_key())


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
