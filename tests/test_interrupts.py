import signal

import pytest

from raydistill.interrupts import interrupts_held


def interrupted(reached):
    with interrupts_held():
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")


def test_an_interrupt_comes_at_the_end_of_the_block():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(reached)
    assert reached == ["the end"]


def test_afterwards_an_interrupt_is_what_it_was():
    before = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        assert signal.getsignal(signal.SIGINT) is not before
    with pytest.raises(ZeroDivisionError), interrupts_held():
        print(1 / 0)
    assert signal.getsignal(signal.SIGINT) is before
