"""The sweep for real, at the smoke scale: run, repeated, widened, failing, killed."""

import random
import re
import signal
import time

import pytest

import sweeping

CELLS = [
    ("320B", "none"), ("320B", "input"), ("320B", "output"), ("80B", "none"), ("80B", "input"),
]  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def first(storage):
    return sweeping.run(storage)


def test_a_sweep_prints_its_plan_its_progress_its_table_and_how_to_go_on(first):
    assert first.returncode == 0, first.stderr
    assert "■□□■■■" in first.stdout
    assert "[5/5]" in first.stdout
    assert "against the control" in first.stdout
    assert "tokens per parameter" in first.stdout
    assert "do not choose layers for a large model from this" in first.stdout
    assert "mlflow server" in first.stdout
    assert "Traceback" not in first.stderr


def test_every_cell_is_in_mlflow_once_with_whole_curves(first, storage):
    sweeping.assert_tracked_once(storage, CELLS)
    bases = [r for r in sweeping.runs(storage)[1] if r.data.tags["role"] == "base"]
    assert [r.data.metrics["downstream_drop_pct"] for r in bases] == [0, 0]


def test_tunes_own_table_speaks_of_the_axes_and_the_drops(first, storage):
    header = (storage / "sweeps/where_to_drop/smoke/tune.csv").read_text().splitlines()[0]
    wanted = {"config/location", "config/count", "config/gap", "config/age"}
    assert wanted | {"perplexity_drop_pct", "downstream_drop_pct"} <= set(header.split(","))


def test_the_same_command_again_trains_nothing(first, storage):
    before = sweeping.results(storage)
    times = {p: p.stat().st_mtime_ns for p in storage.glob("trials/*/*")}
    again = sweeping.run(storage)
    assert again.returncode == 0, again.stderr
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    assert {p: p.stat().st_mtime_ns for p in storage.glob("trials/*/*")} == times
    sweeping.assert_tracked_once(storage, CELLS)


def test_a_new_axis_value_trains_only_what_is_new_and_a_failing_trial_fails_alone(first, storage):
    """At this rate the loss is no number after a step; the other cell is in the store."""
    before = sweeping.results(storage)
    wider = sweeping.run(storage, "--age", "320B", "--location", "input,1-2,middle")
    assert wider.returncode == 0, wider.stderr
    assert "[1/1] middle" in wider.stdout
    assert len(sweeping.results(storage)) == len(before) + 1
    failing = sweeping.run(
        storage, "--age", "320B", "--location", "input,output", "--set", "lr=1e38"
    )
    assert failing.returncode == 1
    assert "FloatingPointError" in failing.stdout
    assert "3 tries" in failing.stdout
    statuses = [run.info.status for run in sweeping.cells(storage)]
    assert statuses.count("FAILED") == 2
    assert "RUNNING" not in statuses


def test_killed_at_three_moments_it_ends_as_if_nothing_had_happened(first, storage, tmp_path):
    moments = random.Random(20)
    undisturbed = sweeping.results(storage)
    sessions = []
    for _ in range(3):
        process = sweeping.start(tmp_path)
        time.sleep(moments.uniform(3, 25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sessions.append(process.pid)
    final = sweeping.run(tmp_path)
    assert final.returncode == 0, final.stderr
    sweeping.assert_all_gone(sessions, within_s=90)  # Ray's agents notice after a minute
    killed = sweeping.results(tmp_path)
    assert killed == {trial_id: undisturbed[trial_id] for trial_id in killed}
    assert len(killed) == len(CELLS)
    sweeping.assert_tracked_once(tmp_path, CELLS)


def test_two_devices_train_to_the_bits_of_one(tmp_path_factory):
    """Two gloo ranks inside Tune, a removal in between; one process with two micro-batches."""
    weights = []
    for devices in ("1", "2"):
        storage = tmp_path_factory.mktemp("devices")
        done = sweeping.run(
            storage, "--age", "320B", "--location", "input", "--set", "micro_batches=2",
            "--devices-per-trial", devices,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (trained, _scores), *rest = sweeping.results(storage).values()
        assert rest == []
        assert trained.pop("made_by")["world_size"] == int(devices)
        weights.append(trained)
    assert weights[0] == weights[1]


def test_a_search_that_was_killed_ends_with_as_many_distinct_cells(tmp_path):
    flags = ("--age", "320B", "--location", "all", "--search", "tpe", "--trials", "4")
    process = sweeping.start(tmp_path, *flags)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("trials/*/trained.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/trained.json")}
    final = sweeping.run(tmp_path, *flags)
    assert final.returncode == 0, final.stderr
    after = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/trained.json")}
    assert before.items() <= after.items()
    asked = [run.data.params["location"] for run in sweeping.cells(tmp_path)]
    assert len(asked) == len(set(asked)) == 4
    assert re.search(r"search +tpe", final.stdout)
