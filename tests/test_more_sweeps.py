"""The other sweeps for real: run, told in MLflow once a cell, and run again without a step."""

import pytest

import sweeping

SWEEPS = {
    "when_to_drop": ("--gap", "0,2B", "--age", "320B"),
    "how_many_to_drop": ("--count", "0,1,4", "--age", "320B"),
}
EXPECTED = {
    "when_to_drop": [("input", "0"), ("input", "2B"), ("none", "0")],
    "how_many_to_drop": [(size, n) for size in ("smoke", "smoke_small") for n in ("0", "1", "4")],
}
COLUMNS = {"when_to_drop": ("location", "gap"), "how_many_to_drop": ("size", "count")}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_runs_and_its_repetition_trains_nothing(name, run_sweep, prepared, tmp_path):
    storage = prepared(tmp_path)
    done = run_sweep(name, storage, *SWEEPS[name])
    assert done.returncode == 0, done.stderr
    before = sweeping.results(storage)
    again = run_sweep(name, storage, *SWEEPS[name])
    assert again.returncode == 0, again.stderr
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    runs = sweeping.runs(storage, name)[1]
    assert {run.info.status for run in runs} == {"FINISHED"}
    cells = [run.data.params for run in runs if run.data.tags["role"] in ("cell", "control")]
    asked = {tuple(params[column] for column in COLUMNS[name]) for params in cells}
    assert sorted(asked) == sorted(EXPECTED[name])
    assert len(cells) == len({run.info.run_name for run in runs if "trial_id" in run.data.tags})


def test_a_reference_stands_beside_the_students_and_is_evaluated_only(
    run_sweep, prepared, tmp_path
):
    storage = prepared(tmp_path)
    flags = ("--age", "320B", "--location", "none,input", "--reference", "smoke_small@320B")
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "smoke_small@320B is a reference of 49.504K parameters, evaluated only" in said
    assert "the students have 108.352K" in said
    runs = sweeping.runs(storage, "where_to_drop")[1]
    (run,) = [run for run in runs if run.data.tags["role"] == "reference"]
    assert run.info.run_name == "reference smoke_small@320B"
    assert "nll" in run.data.metrics
    assert "delta_nll" not in run.data.metrics
    trained = sweeping.results(storage)[run.data.tags["trial_id"]][0]
    assert trained["cost"]["tokens"] == 0
    page = (storage / "sweeps/where_to_drop/smoke/report.html").read_text()
    assert "smoke_small@320B" in page
    again = run_sweep("where_to_drop", storage, *flags)
    assert "nothing is trained" in again.stdout
    told = sweeping.command(storage, "report", "--from", f"sqlite:///{storage}/mlflow.db").stdout
    assert "smoke_small@320B" in told
