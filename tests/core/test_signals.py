"""^C and SIGTERM end a command at a moment of its own choosing."""

import re
import signal
import time

import pytest

from raydistill.core.fault_injection import Fault
from raydistill.core.signals import STOPPED, TERMINATED, interrupts_held
from support import sweeping


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


LONG = ("--age", "320B", "--location", "input", "--budget", "2000B", "--checkpoint-every", "99999")


@pytest.fixture(scope="module")
def storage(prepared, tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("storage"))


def stopped_at(storage, address, fault, *signals):
    """How a long sweep ends that gets the signals once a fault has come: its code, its errors."""
    process = sweeping.start(
        storage, *LONG, RAY_ADDRESS=address, RAYDISTILL_FAULTS=f"{fault.action}@step={fault.number}"
    )
    deadline = time.monotonic() + 120
    while not (storage / f"faults/{fault.name}-1").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    second_runs.append(sweeping.here("where_to_drop", storage, *LONG))
    for number in signals:
        process.send_signal(number)
        time.sleep(1)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.splitlines()


second_runs = []  # of the same command while the first one ran


def checkpoint_steps(storage):
    return [int(p.name[5:]) for p in storage.glob("trials/*/checkpoints/step-*")]


STOPPING = "stopping at the next step, with a checkpoint; once more stops at once"
GO_ON = "stopped: what is done is kept; the same command goes on from there"


def test_row_38_a_signal_ends_a_sweep_at_the_next_step_with_a_checkpoint(storage, ray_address):
    fault = Fault(action="note", point="step", number=40)
    assert stopped_at(storage, ray_address, fault, signal.SIGINT) == (STOPPED, [STOPPING, GO_ON])
    (first,) = checkpoint_steps(storage)
    assert first >= 40
    fault = Fault(action="note", point="step", number=first + 40)
    assert stopped_at(storage, ray_address, fault, signal.SIGTERM) == (
        TERMINATED,
        [STOPPING, GO_ON],
    )
    assert max(checkpoint_steps(storage)) >= first + 40


def test_row_38_the_second_one_ends_at_once_what_would_not_end(storage, ray_address):
    before = checkpoint_steps(storage)
    fault = Fault(action="hang", point="step", number=max(before, default=0) + 10)
    code, errors = stopped_at(storage, ray_address, fault, signal.SIGINT, signal.SIGINT)
    assert (code, errors) == (STOPPED, [STOPPING, GO_ON])
    assert checkpoint_steps(storage) == before


def test_row_37_the_same_sweep_beside_it_names_the_process_that_runs_it():
    for second in second_runs:
        assert second.returncode == 4
        assert re.fullmatch(
            r"error: this sweep is run by process \d+ on \S+ \(\S+, since [\d: -]+ UTC\); "
            "wait for its end, or stop it there\n",
            second.stderr,
        )
    assert len(second_runs) == 3
