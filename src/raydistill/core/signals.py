"""When ^C and SIGTERM may stop a command: never in the middle of an import or a fork."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Exit codes of a command that ^C or SIGTERM ended, as a shell reports them.
STOPPED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: from `ray job stop`, or from a machine that shuts down."""


def interruption(number: int) -> KeyboardInterrupt:
    """The exception that a signal raises."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises in the main thread, as ^C does."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise interruption(number)

    signal.signal(signal.SIGTERM, end)


@contextmanager
def signals_noted(note: Callable[[list[int]], None] = lambda received: None) -> Iterator[list[int]]:
    """Collect ^C and SIGTERM during the block; at its end the first one raises.

    Args:
        note: called on every signal with all received so far; may raise.

    Raises:
        KeyboardInterrupt: at the end, if ^C was received.
        Terminated: at the end, if SIGTERM was.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        note(received)

    handlers = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        raise interruption(received[0])


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Defer ^C and SIGTERM to the end of the block, in the main thread.

    One that breaks off an import or a fork leaves a lock behind, for which another thread that
    imports or logs waits for ever.

    Raises:
        KeyboardInterrupt: at the end, if ^C was received.
        Terminated: at the end, if SIGTERM was.
    """
    with signals_noted():
        yield
