"""When ^C may stop a command: not in the middle of an import or of a fork."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """^C waits for the end of the block, in the main thread.

    Where it breaks off an import or a fork, Python leaves a lock behind, for which another thread
    that imports or logs then waits for ever.

    Raises:
        KeyboardInterrupt: at the end, if ^C came meanwhile.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
