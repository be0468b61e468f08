"""What is repeated beside a block."""

import threading
from contextvars import ContextVar

from raydistill.core.background import repeated


def test_it_runs_beside_the_block_with_its_context_and_not_after_it():
    place, enough, seen = ContextVar("place", default="nowhere"), threading.Event(), []
    place.set("here")

    def action():
        seen.append((place.get(), threading.current_thread()))
        if len(seen) >= 3:
            enough.set()

    with repeated(action, 0.001):
        assert enough.wait(30)
    ((where, thread),) = set(seen)
    assert where == "here"
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_it_ends_by_itself_once_it_returns_something_true():
    left, ended = [False, False, True], threading.Event()

    def action():
        done = left.pop(0)
        if done:
            ended.set()
        return done

    with repeated(action, 0.001):
        assert ended.wait(30)
    assert left == []
