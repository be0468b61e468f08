"""The sweep for real, at the smoke scale: run, repeated, widened. Failing: test_bad_input.py."""

import pytest

import sweeping


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
    sweeping.assert_tracked_once(storage, sweeping.CELLS)
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
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


def test_a_new_axis_value_trains_only_what_is_new(first, storage):
    """`1-2` is `input` under another name."""
    before = sweeping.results(storage)
    wider = sweeping.run(storage, "--age", "320B", "--location", "input,1-2,middle")
    assert wider.returncode == 0, wider.stderr
    assert "[1/1] middle" in wider.stdout
    assert len(sweeping.results(storage)) == len(before) + 1
