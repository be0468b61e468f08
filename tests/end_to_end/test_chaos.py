"""The long runs: killed again and again, fifty trials in one driver, a disk that is full.

`make soak` runs them. `docs/faults.md` has what they came to.
"""

import json
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from support import sweeping

pytestmark = pytest.mark.soak

SWEEP = (
    "--age", "320B", "--location", "none,input,middle,output", "--budget", "1000B",
    "--checkpoint-every", "1",
)  # fmt: skip
KILLS = 20


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    storage = tmp_path_factory.mktemp("calm")
    done = sweeping.run(storage, *SWEEP)
    assert done.returncode == 0, done.stderr
    return storage, done.seconds


def moment(storage):
    """Where a driver was when it was killed, as the store tells."""
    if not list(storage.glob("pretraining/*/ages.json")):
        return "making text and bases"
    if not list(storage.glob("trials/*/checkpoints/step-*")):
        return "between trials"
    return f"training, {len(list(storage.glob('trials/*/trained.json')))} trained"


@pytest.mark.timeout(1800)
def test_a_driver_killed_at_twenty_moments(calm, tmp_path):
    """Random ones, two in the middle of a tracking call and one at a start.

    A start takes about a tenth of the undisturbed run, so each attempt gets a few steps further.
    """
    undisturbed, seconds = calm
    moments, sessions, kills = random.Random(20), [], []
    planned = {3: "kill@tracking=2", 9: "kill@preparing", 15: "kill@tracking=5"}
    for kill in range(KILLS):
        faults = planned.get(kill, "")
        process = sweeping.start(
            tmp_path, *SWEEP, **({"RAYDISTILL_FAULTS": faults} if faults else {})
        )
        begun_s = time.monotonic()
        try:
            process.wait(timeout=120 if faults else moments.uniform(0.02, 0.16) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        sessions.append(process.pid)
        kills.append((round(time.monotonic() - begun_s, 1), moment(tmp_path)))
    begun_s = time.monotonic()
    final = sweeping.run(tmp_path, *SWEEP)
    print(json.dumps({"kills": kills, "last_s": round(time.monotonic() - begun_s, 1)}))
    assert final.returncode == 0, final.stdout + final.stderr
    sweeping.assert_all_gone(sessions, within_s=60)
    assert sweeping.results(tmp_path) == sweeping.results(undisturbed)
    cells = sweeping.assert_every_step_once(tmp_path, "where_to_drop")
    cells_run = [(run.data.params["age"], run.data.params["location"]) for run in cells]
    assert len(cells_run) == len(set(cells_run)) == len(sweeping.results(undisturbed))


@pytest.mark.timeout(1200)
def test_fifty_trials_in_one_driver_leave_no_more_than_the_first_ten(prepared, tmp_path):
    """Memory and open files of the driver and of its trials' processes, actors, storage."""
    storage = prepared(tmp_path)
    layers = [f"{a}-{a + 1}" for a in (1, 2, 3)] + ["1,3", "1,4", "2,4"]
    flags = [word for location in layers for word in ("--location", location)]
    flags += ["--location", "none,input,output,middle", "--age", "320B", "--seed"]
    flags += [",".join(map(str, range(1, 9)))]
    process = sweeping.start(storage, *flags, "--yes", "--concurrent", "1")
    seen = []
    while process.poll() is None:
        count = len(list(storage.glob("trials/*/trained.json")))
        if count and (not seen or count > seen[-1]["trials"]):
            seen.append({"trials": count} | measured(process.pid))
        time.sleep(0.2)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    early, late = usual(seen, 10, 20), usual(seen, 46, 56)
    print(json.dumps({"early": early, "late": late, "trials": len(sweeping.results(storage))}))
    assert seen[-1]["trials"] >= 50
    assert late["files"] <= early["files"] + 5
    assert late["processes"] <= early["processes"]
    assert late["driver_mb"] <= 1.25 * early["driver_mb"]
    assert late["trial_mb"] <= 1.1 * early["trial_mb"]
    assert not list(storage.glob("trials/*/checkpoints"))
    assert not list(storage.rglob(".*"))


def usual(seen, first, last):
    """The median of each number while those trials ran."""
    samples = [sample for sample in seen if first <= sample["trials"] <= last]
    return {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}


def measured(pid):
    """What is a process' own: the pages of Ray's shared memory that it has seen are not."""
    driver = psutil.Process(pid)
    family = driver.children(recursive=True)
    trials = [p for p in family if p.name().startswith("ray::ImplicitFunc")]
    return {
        "driver_mb": driver.memory_full_info().uss >> 20,
        "files": driver.num_fds(),
        "trial_mb": max((p.memory_full_info().uss >> 20 for p in trials), default=0),
        "processes": len([p for p in family if p.name()[:5] == "ray::" and "IDLE" not in p.name()]),
    }


@pytest.mark.parametrize("left_kb", [300, 1200])
def test_a_disk_that_is_full_is_named_and_the_repetition_goes_on(prepared, left_kb):
    disk = Path(tempfile.mkdtemp())  # pytest would move a folder of its own away with the mount
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("only root mounts a small disk")
    try:
        prepared(disk)
        flags = ("--age", "320B", "--location", "none,input,output", "--checkpoint-every", "0")
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(free - left_kb * 1000))
        full = sweeping.run(disk, *flags)
        assert full.returncode in (1, 4)
        assert "Traceback" not in full.stderr
        assert "is full" in full.stderr
        (disk / "filler").unlink()
        done = sweeping.run(disk, *flags)
        assert done.returncode == 0, done.stderr
        assert len(sweeping.results(disk)) == 3
        sweeping.assert_every_step_once(disk, "where_to_drop")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # MLflow still has it open
        disk.rmdir()
