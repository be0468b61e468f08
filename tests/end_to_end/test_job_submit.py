"""`ray job submit` from the repository to a head: the bare sweep, and the shape it stands on.

The shape is Ray's part alone; `docs/ray-shape.md` has the figures.
"""

import json
import os
import re
import shlex
import time
import urllib.error
import urllib.request

import pytest

from raydistill.core.fault_injection import Fault
from raydistill.runners.cluster.work import FINISHED
from support import sweeping
from support.extending import BLOCKS
from support.ray_processes import (
    REPOSITORY,
    family,
    head_in_repository,
    job_server,
    left_of,
    ray_job,
    submit,
    working,
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory, prepared):
    return prepared(tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def head(storage):
    """One head for all jobs here; scale and storage reach them by its environment."""
    paths = [str(REPOSITORY / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {
        "RAYDISTILL_SCALE": "smoke", "RAYDISTILL_STORAGE": str(storage), "COLUMNS": "120",
        "PYTHONPATH": os.pathsep.join(paths),
    }  # fmt: skip
    with head_in_repository(**variables) as (process, environment):
        yield process, environment
        session = family(process.pid)
    assert left_of(session, timeout_s=5) == []


@pytest.fixture(scope="module")
def first(head):
    return submit(head[1], sweeping.SCRIPT)


@pytest.fixture(scope="module")
def shape(head, tmp_path_factory):
    """The job's standard output, what it measured, and which of its processes lived on."""
    folder = tmp_path_factory.mktemp("shape")
    job = submit(head[1], "tests/support/shape_driver.py", str(folder))
    assert job.returncode == 0, job.stdout + job.stderr
    lived_on = left_of(working(head[0].pid))
    return job.stdout, json.loads((folder / "shape.json").read_text()), lived_on


def trained(storage):
    return {p: p.stat().st_mtime_ns for p in storage.glob("trials/*/trained.json")}


def test_the_job_succeeds_and_its_cells_are_in_mlflow(first, storage):
    assert first.returncode == 0, first.stdout + first.stderr
    assert "succeeded" in first.stdout
    assert "[5/5]" in first.stdout
    assert "against the control" in first.stdout
    assert "Traceback" not in first.stdout
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


def test_nothing_of_the_job_lives_on(first, head):
    assert left_of(working(head[0].pid)) == []


def test_the_submission_that_it_prints_runs_from_anywhere_and_trains_nothing(
    first, head, storage, tmp_path
):
    before = trained(storage)
    (line,) = re.findall(r"^ *(ray job submit -- .*)$", first.stdout, re.MULTILINE)
    words = shlex.split(line, comments=True)
    assert sweeping.SCRIPT in words[5]
    again = ray_job(head[1], *words[2:], folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing is trained" in again.stdout
    assert trained(storage) == before
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


@pytest.mark.soak
def test_a_failing_trial_fails_the_job(first, head, storage):
    """At this rate the loss is no number after a step."""
    before = trained(storage)
    failing = submit(
        head[1], sweeping.SCRIPT, "--age", "320B", "--location", "input", "--set", "lr=1e38"
    )
    assert failing.returncode == 1
    assert "failed" in failing.stdout
    assert "FloatingPointError" in failing.stdout
    assert trained(storage) == before


@pytest.mark.soak
def test_a_job_brings_parts_of_ones_own_in_its_working_directory(head, tmp_path):
    """The submitter's folder is nowhere on the cluster but where Ray has put it."""
    for name, text in BLOCKS.items():
        file = tmp_path / "my_parts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    flags = ("--parts", "my_parts", "--lr", "1e-3", "--weight_decay", "0", "--location", "input")
    done = ray_job(
        head[1], "submit", "--working-dir", ".", "--", "raydistill", "sweep", "decay", *flags,
        "--loss", "reverse-kl+alpha=0.3", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/1]" in done.stdout
    assert "loss reverse-kl+alpha=0.3" in done.stdout


def test_a_job_that_is_stopped_leaves_a_checkpoint(first, head, storage):
    """`ray job stop` sends SIGTERM and, three seconds later, SIGKILL."""
    passed = storage / "faults" / f"{Fault(action='note', point='step', number=40).name}-1"
    long = ("--age", "320B", "--location", "middle", "--budget", "2000B")
    words = ("python", sweeping.SCRIPT, *long, "--checkpoint-every", "99999")
    entrypoint = shlex.join(["env", "RAYDISTILL_FAULTS=note@step=40", *words])
    job_server(head[1], "jobs/", {"entrypoint": entrypoint, "submission_id": "stopped"})
    deadline = time.monotonic() + 120
    while not passed.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    stopped = ray_job(head[1], "stop", "stopped")
    assert "was stopped" in stopped.stdout, stopped.stdout + stopped.stderr
    logs = job_server(head[1], "jobs/stopped/logs")["logs"]
    assert "the same command goes on from there" in logs
    (checkpoint,) = storage.glob("trials/*/checkpoints/step-*")
    assert int(checkpoint.name[5:]) >= 40


def test_without_the_token_nothing_is_taken(head):
    without = {k: v for k, v in head[1].items() if not k.startswith("RAY_AUTH")}
    refused = submit(without | {"RAY_AUTH_MODE": "disabled"}, sweeping.SCRIPT)
    assert refused.returncode != 0
    assert "oken authentication is enabled" in refused.stderr
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"{head[1]['RAY_ADDRESS']}/api/jobs/", timeout=10)
    assert answer.value.code == 401


@pytest.mark.soak
def test_a_job_of_the_bare_shape_succeeds(shape):
    assert "succeeded" in shape[0]


@pytest.mark.soak
def test_six_trials_share_two_processes_that_import_torch_once_each(shape):
    single = shape[1]["single"]
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


@pytest.mark.soak
def test_asha_stops_the_worst_trial(shape):
    assert shape[1]["single"]["stopped"] == ["nap5"]


@pytest.mark.soak
def test_a_trial_on_two_ranks_runs_in_a_worker_group_inside_tune(shape):
    nested = shape[1]["nested"]
    assert not nested["failures"]
    assert nested["finished"] == ["count_ranks0"]
    last = nested["reports"][-1]
    assert (last["ranks"], last["backend"], last[FINISHED]) == (2.0, "gloo", 1)
    print({"nested_s": round(nested["wall_s"], 1)})


@pytest.mark.soak
def test_nothing_of_the_shape_lives_on(shape):
    assert shape[2] == []
