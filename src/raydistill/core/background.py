"""Something that is done again and again beside a block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context


@contextmanager
def repeated(action: Callable[[], object], every_s: float) -> Iterator[None]:
    """During the block, call `action` every so many seconds, until it returns something true.

    It runs in a thread with the block's context, and must not raise. A call that is under way when
    the block ends is waited for.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s) and not action():
            pass

    thread = threading.Thread(target=copy_context().run, args=(repeat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
