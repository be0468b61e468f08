"""The bare `ray job submit -- python sweeps/where_to_drop.py`, from the repository to a head."""

import pytest

import sweeping
from ray_processes import family, head_in_repository, left_of, submit, working


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def head(storage):
    """One head for all jobs here; scale and storage reach them by its environment."""
    variables = {"RAYDISTILL_SCALE": "smoke", "RAYDISTILL_STORAGE": str(storage), "COLUMNS": "120"}
    with head_in_repository(**variables) as (process, environment):
        yield process, environment
        session = family(process.pid)
    assert left_of(session, timeout_s=5) == []


@pytest.fixture(scope="module")
def first(head):
    return submit(head[1], sweeping.SCRIPT)


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


def test_a_second_submission_trains_nothing(first, head, storage):
    before = trained(storage)
    again = submit(head[1], sweeping.SCRIPT)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing is trained" in again.stdout
    assert trained(storage) == before
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


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


def test_without_the_token_nothing_is_taken(head):
    without = {k: v for k, v in head[1].items() if not k.startswith("RAY_AUTH")}
    refused = submit(without | {"RAY_AUTH_MODE": "disabled"}, sweeping.SCRIPT)
    assert refused.returncode != 0
    assert "oken authentication is enabled" in refused.stderr
