"""Does Ray carry the shape that everything stands on? `docs/ray-shape.md` has the figures."""

import json

import pytest

from ray_processes import REPOSITORY, head_in_repository, left_of, submit, working
from raydistill.runners.work import FINISHED


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """The job's standard output, what it measured, and which of its processes lived on."""
    folder = tmp_path_factory.mktemp("shape")
    with head_in_repository(PYTHONPATH=str(REPOSITORY / "tests")) as (process, environment):
        job = submit(environment, "tests/shape_driver.py", str(folder))
        assert job.returncode == 0, job.stdout + job.stderr
        lived_on = left_of(working(process.pid))
    return job.stdout, json.loads((folder / "shape.json").read_text()), lived_on


def test_the_bare_submission_succeeds(submitted):
    assert "succeeded" in submitted[0]


def test_six_trials_share_two_processes_that_import_torch_once_each(submitted):
    single = submitted[1]["single"]
    assert not single["failures"]
    assert len(single["finished"]) == 5
    processes = {report["pid"] for report in single["reports"]}
    assert len(processes) <= 2
    first = {report["key"]: report for report in reversed(single["reports"])}
    assert sum(report["imported"] for report in first.values()) == len(processes)
    print(overheads(single))


def overheads(single):
    """Seconds from one trial's last report to the next one's begin in the same process."""
    last, seconds = {}, []
    for report in sorted(single["reports"], key=lambda r: (r["begun"], r["tokens"])):
        pid = report["pid"]
        if pid in last and last[pid]["key"] != report["key"]:
            seconds.append(round(report["begun"] - last[pid]["timestamp"], 1))
        last[pid] = report
    return {"all_s": round(single["wall_s"], 1), "between_s": seconds}


def test_asha_stops_the_worst_trial(submitted):
    assert submitted[1]["single"]["stopped"] == ["nap5"]


def test_a_trial_on_two_ranks_runs_in_a_worker_group_inside_tune(submitted):
    nested = submitted[1]["nested"]
    assert not nested["failures"]
    assert nested["finished"] == ["count_ranks0"]
    last = nested["reports"][-1]
    assert (last["ranks"], last["backend"], last[FINISHED]) == (2.0, "gloo", 1)
    print({"nested_s": round(nested["wall_s"], 1)})


def test_nothing_of_the_job_lives_on(submitted):
    assert submitted[2] == []
