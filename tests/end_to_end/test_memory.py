"""A machine that runs short of memory: Ray's monitor kills for real, and nothing is lost.

A process takes memory until it is killed (`oom`), or a program beside the sweep takes the rest.
What never fits is in `tests/runners/test_out_of_memory.py`.
"""

import threading
import time

import pytest

from raydistill.runners.cluster import memory
from support import sweeping, trained_here
from support.short_of_memory import in_use_bytes, ray_that_kills, threshold

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SWEEP = ("--age", "320B", "--location", "none,input,output", "--checkpoint-every", "0")
CELLS = [("320B", "none"), ("320B", "input"), ("320B", "output")]
SPARE_BYTES = 4e9  # more than two trials and their driver take


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(memory, "PAUSES_S", (2.0, 4.0))


@pytest.fixture(scope="module")
def calm(prepared, tmp_path_factory):
    """What the trials come to where nothing happens, without Ray."""
    storage = prepared(tmp_path_factory.mktemp("calm"))
    trained_here.train(storage, *SWEEP)
    return sweeping.results(storage)


def run(storage, *flags, sweep="where_to_drop", faults=""):
    with ray_that_kills(threshold(SPARE_BYTES)) as address:
        more = {"RAYDISTILL_FAULTS": faults} if faults else {}
        return sweeping.here(sweep, storage, *flags, RAY_ADDRESS=address, **more)


def kills(done):
    """How many lines on the screen tell one; no other line is there, and no command line."""
    lines = done.stderr.splitlines()
    told = [line for line in lines if "its process was killed: node" in line]
    assert told == lines, done.stderr
    assert "COMMAND" not in done.stderr + done.stdout
    return len(told)


def test_three_kills_in_one_sweep_lose_nothing(calm, prepared, tmp_path):
    storage = prepared(tmp_path)
    faults = "oom@step=3; oom@step=7; oom@evaluation=2"
    done = run(storage, *SWEEP, faults=faults)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((storage / "faults").iterdir())) == 3
    assert kills(done) >= 3
    assert sweeping.results(storage) == calm
    sweeping.assert_tracked_once(storage, CELLS)
    assert "-m pytest" not in (storage / "sweeps/where_to_drop/smoke/ray.log").read_text()


def test_another_program_takes_the_rest_of_the_memory_three_times(calm, prepared, tmp_path):
    storage = prepared(tmp_path)
    limit_bytes = threshold(SPARE_BYTES) * in_use_bytes()[1]
    over = threading.Event()

    def steps():
        return sorted(storage.glob("trials/*/checkpoints/step-*"))

    def take_the_rest():
        for _ in range(3):
            before = steps()
            while not over.is_set() and steps() == before:  # until it has got further
                time.sleep(0.1)
            held = []
            while not over.is_set() and in_use_bytes()[0] < limit_bytes:
                held.append(bytearray(b"\1") * (64 << 20))
            time.sleep(1)
            held.clear()

    hog = threading.Thread(target=take_the_rest)
    hog.start()
    try:
        done = run(storage, *SWEEP)
    finally:
        over.set()
        hog.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert kills(done) >= 1
    assert sweeping.results(storage) == calm
    sweeping.assert_tracked_once(storage, CELLS)


def test_kills_while_text_and_bases_are_made_and_measured_cost_a_try_each(tmp_path):
    done = run(tmp_path, "--location", "none", faults="oom@step=3; oom@evaluation=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "faults").iterdir())) == 2
    assert kills(done) >= 2
    assert "pretrain_base: its process was killed" in done.stderr
    assert "measure_base: its process was killed" in done.stderr


def test_a_rank_that_is_killed_costs_a_try_of_its_trial(prepared, tmp_path):
    pair = ("--age", "320B", "--location", "input", "--checkpoint-every", "0")
    pair += ("--devices-per-trial", "2", "--set", "micro_batches=2")
    storage = prepared(tmp_path)
    done = run(storage, *pair, faults="oom@step=9,rank=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((storage / "faults").iterdir())) == 1
    assert kills(done) >= 1
    assert len(sweeping.results(storage)) == 1


def test_a_teacher_that_is_killed_is_started_again(prepared, tmp_path):
    storage = prepared(tmp_path)
    flags = ("--seed", "1", "--arm", "kd", "--teacher-placement", "own-devices")
    faults = "oom@teacher=5"
    done = run(storage, *flags, "--concurrent", "1", sweep="teacher_free_vs_kd", faults=faults)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Refer to the documentation" not in done.stdout + done.stderr
    assert len(sweeping.results(storage)) == 1
