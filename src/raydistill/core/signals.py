"""When ^C and SIGTERM may stop a command: not in the middle of an import or of a fork."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)

STOPPED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""The exit codes of a command that ^C or SIGTERM ended, as a shell counts them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a `ray job stop`, or a machine that is taken away."""


def interruption(number: int) -> KeyboardInterrupt:
    """What a signal raises."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises in the main thread as ^C does, and ends nothing half-way."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise interruption(number)

    signal.signal(signal.SIGTERM, end)


@contextmanager
def signals_noted(note: Callable[[list[int]], None] = lambda came: None) -> Iterator[list[int]]:
    """In the block ^C and SIGTERM are noted; at its end the first that came raises.

    Args:
        note: called at each with all that came so far; may raise.

    Raises:
        KeyboardInterrupt: at the end, if ^C came meanwhile.
        Terminated: the same of SIGTERM.
    """
    came: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        came.append(number)
        note(came)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise interruption(came[0])


@contextmanager
def interrupts_held() -> Iterator[None]:
    """^C and SIGTERM wait for the end of the block, in the main thread.

    Where one breaks off an import or a fork, Python leaves a lock behind, for which another thread
    that imports or logs then waits for ever.

    Raises:
        KeyboardInterrupt: at the end, if ^C came meanwhile.
        Terminated: the same of SIGTERM.
    """
    with signals_noted():
        yield
