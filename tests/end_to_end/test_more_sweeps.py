"""The other sweeps for real: run, in MLflow once a cell, and run again without a step."""

import pytest

from raydistill.core.units import B
from raydistill.reports.sources.from_store import from_store
from raydistill.storage.store import Store
from support import sweeping

SWEEPS = {
    "when_to_drop": ("--gap", "0,2B", "--age", "320B"),
    "how_many_to_drop": ("--count", "0,1,4", "--age", "320B"),
    "capacity_gap": (
        "--size", "smoke_family", "--teacher", "none,smoke_family+width=32@320B", "--seed", "1",
    ),
}  # fmt: skip
EXPECTED = {
    "when_to_drop": [
        ("input", "0", "tokens"),
        ("input", "2B", "tokens"),
        ("input", "2B", "flops"),
        ("none", "0", "tokens"),
    ],
    "how_many_to_drop": [(size, n) for size in ("smoke", "smoke_small") for n in ("0", "1", "4")],
    "capacity_gap": [
        *[("none", start, "lm") for start in ("own", "scratch")],
        *[("smoke_family+width=32@320B", start, "lm") for start in ("own", "scratch")],
        *[("smoke_family+width=32@320B", start, "kd") for start in ("own", "cut", "scratch")],
    ],
}
COLUMNS = {
    "when_to_drop": ("location", "gap", "equal"),
    "how_many_to_drop": ("size", "count"),
    "capacity_gap": ("teacher", "start", "loss"),
}


@pytest.fixture(scope="module")
def calm(run_sweep, prepared, tmp_path_factory):
    """The storage of a sweep that ran undisturbed; each runs once."""
    storages = {}

    def storage_of(name):
        if name not in storages:
            storages[name] = prepared(tmp_path_factory.mktemp(name))
            done = run_sweep(name, storages[name], *SWEEPS[name])
            assert done.returncode == 0, done.stderr
        return storages[name]

    return storage_of


@pytest.mark.parametrize(
    "name",
    [
        "capacity_gap",
        *(pytest.param(n, marks=pytest.mark.soak) for n in ("when_to_drop", "how_many_to_drop")),
    ],
)
def test_a_sweep_runs_and_its_repetition_trains_nothing(name, calm, run_sweep):
    storage = calm(name)
    before = sweeping.results(storage)
    again = run_sweep(name, storage, *SWEEPS[name])
    assert again.returncode == 0, again.stderr
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    cells = sweeping.assert_every_step_once(storage, name)
    values = [tuple(run.data.params[column] for column in COLUMNS[name]) for run in cells]
    assert sorted(values) == sorted(EXPECTED[name])
    assert len(cells) == len({run.info.run_name for run in cells})


def test_teachers_are_measured_though_no_student_starts_from_them(calm):
    (report,) = from_store(Store(calm("capacity_gap")), ["capacity_gap"])
    assert [(base.scale, base.age) for base in report.bases] == [
        ("smoke_family", 320 * B),
        ("smoke_family+width=32", 320 * B),
    ]


@pytest.mark.soak
@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_that_was_killed_ends_as_if_nothing_had_happened(
    name, calm, run_sweep, prepared, tmp_path, ray_address
):
    storage = prepared(tmp_path)
    sweeping.kill_amid(name, storage, *SWEEPS[name], RAY_ADDRESS=ray_address)
    final = run_sweep(name, storage, *SWEEPS[name])
    assert final.returncode == 0, final.stderr
    assert sweeping.results(storage) == sweeping.results(calm(name))
    cells = sweeping.assert_every_step_once(storage, name)
    values = [tuple(run.data.params[column] for column in COLUMNS[name]) for run in cells]
    assert sorted(values) == sorted(EXPECTED[name])


@pytest.mark.soak
def test_searches_take_each_arm_at_the_rate_that_was_probed(run_sweep, prepared, tmp_path):
    """First a funnel; then Optuna on the same storage, where the probes are done."""
    storage = prepared(tmp_path)
    flags = ("--age", "320B", "--location", "none,input,output,middle", "--lr-probe")
    funnel = run_sweep("where_to_drop", storage, *flags, "--search", "funnel", "--trials", "1")
    assert funnel.returncode == 0, funnel.stderr
    assert "Peak rate of lm, smoke 320B, 2 layers out:" in funnel.stdout
    assert "smoke, age 320B, count 2: " in funnel.stdout
    by_optuna = run_sweep("where_to_drop", storage, *flags, "--search", "tpe", "--trials", "4")
    assert by_optuna.returncode == 0, by_optuna.stderr
    assert "Lowest delta_nll of 4 trials, on the documents selected on:" in by_optuna.stdout
    cells = sweeping.cells(storage)
    rates = {(run.data.params["count"], run.data.params["peak_lr"]) for run in cells}
    assert len(rates) == 2  # one for the control, one for two layers out


def test_a_reference_stands_beside_the_students_and_is_evaluated_only(
    run_sweep, prepared, tmp_path
):
    storage = prepared(tmp_path)
    flags = ("--age", "320B", "--location", "none,input", "--reference", "smoke_small@320B")
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    out = " ".join(done.stdout.split())
    assert "smoke_small@320B is a reference of 49.504K parameters, evaluated only" in out
    assert "the students have 108.352K" in out
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
    report = sweeping.command(storage, "report", "--from", f"sqlite:///{storage}/mlflow.db").stdout
    assert "smoke_small@320B" in report
