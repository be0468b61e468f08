"""The sweep for real, at the smoke scale: run, repeated, widened, killed.

Those that fail: test_failed_trials.py and test_job_submit.py.
"""

import os
import random
import re
import signal
import time

import pytest

from support import sweeping


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
    assert "Look at every cell: raydistill ui --storage " in first.stdout
    assert "Traceback" not in first.stderr


def test_every_cell_is_in_mlflow_once_with_whole_curves(first, storage):
    sweeping.assert_tracked_once(storage, sweeping.CELLS)
    bases = [r for r in sweeping.runs(storage)[1] if r.data.tags["role"] == "base"]
    assert [r.data.metrics["downstream_drop_pct"] for r in bases] == [0, 0]


def test_tunes_own_table_has_the_axes_and_the_drops(first, storage):
    header = (storage / "sweeps/where_to_drop/smoke/tune.csv").read_text().splitlines()[0]
    axes = {"config/location", "config/count", "config/gap", "config/age"}
    assert axes | {"perplexity_drop_pct", "downstream_drop_pct"} <= set(header.split(","))


def test_the_report_is_the_same_from_the_store_and_from_mlflow(first, storage, tmp_path):
    sources = [[], ["--from", f"sqlite:///{storage}/mlflow.db"]]
    words = ("report", "--format", "csv", "--to", tmp_path)
    texts = [sweeping.command(storage, *words, *source).stdout for source in sources]
    assert texts[0] == texts[1]
    assert texts[0].count("\n") == 1 + len(sweeping.CELLS)


def test_the_same_command_again_trains_nothing(first, storage, run_sweep):
    before = sweeping.results(storage)
    times = {p: p.stat().st_mtime_ns for p in storage.glob("trials/*/*")}
    leftover = storage / "bases" / f".base.{'0' * 32}"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    again = run_sweep("where_to_drop", storage)
    assert again.returncode == 0, again.stderr
    assert "swept up 1 half-written leftover(s)" in again.stdout
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    assert {p: p.stat().st_mtime_ns for p in storage.glob("trials/*/*")} == times
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


def test_a_new_axis_value_trains_only_what_is_new(first, storage, run_sweep):
    """`1-2` is `input` under another name."""
    before = sweeping.results(storage)
    flags = ("--age", "320B", "--location", "input,1-2,middle")
    wider = run_sweep("where_to_drop", storage, *flags)
    assert wider.returncode == 0, wider.stderr
    assert "[1/1] middle" in wider.stdout
    assert len(sweeping.results(storage)) == len(before) + 1


@pytest.mark.soak
def test_killed_at_three_moments_it_ends_as_if_nothing_had_happened(
    first, storage, tmp_path, run_sweep
):
    """In a quiet run: while the corpus is made, in the pretraining, and amid the trials."""
    moments, sessions = random.Random(21), []
    for _ in range(3):
        process = sweeping.start(tmp_path)
        time.sleep(moments.uniform(0.1, 0.6) * first.seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sessions.append(process.pid)
    final = run_sweep("where_to_drop", tmp_path)
    assert final.returncode == 0, final.stderr
    sweeping.assert_all_gone(sessions, within_s=20)
    killed, calm = sweeping.results(tmp_path), sweeping.results(storage)
    assert killed == {trial_id: calm[trial_id] for trial_id in killed}
    sweeping.assert_tracked_once(tmp_path, sweeping.CELLS)


@pytest.mark.soak
def test_a_search_that_was_killed_ends_with_as_many_distinct_cells(
    prepared, tmp_path, ray_address, run_sweep
):
    prepared(tmp_path)
    flags = ("--age", "320B", "--location", "all", "--search", "tpe", "--trials", "4")
    process = sweeping.start(tmp_path, *flags, RAY_ADDRESS=ray_address)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("trials/*/trained.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/weights/*")}
    final = run_sweep("where_to_drop", tmp_path, *flags)
    assert final.returncode == 0, final.stderr
    after = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/weights/*")}
    assert before.items() <= after.items()
    locations = [run.data.params["location"] for run in sweeping.cells(tmp_path)]
    assert len(locations) == len(set(locations)) == 4
    assert re.search(r"search +tpe", final.stdout)
    assert "half of the held-out documents that the search did not see" in final.stdout
