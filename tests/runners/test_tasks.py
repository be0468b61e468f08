import os
import signal

import pytest
from ray.exceptions import RayTaskError

from raydistill.core.errors import DataError, SetupError
from raydistill.runners.cluster.tasks import follow_once, run_once
from raydistill.runners.cluster.work import FINISHED
from support.ray_works import Dies, Nap, die, doze

CPU = {"CPU": 1.0}


def share(tokens, ranks):
    return tokens // ranks


def refuse(number):
    raise DataError(f"{number} tokens are too few")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_returns_its_value_and_raises_its_own_errors(joined_cluster):
    assert run_once(share, CPU, 7, ranks=2) == 3
    with pytest.raises(DataError, match=r"^17 tokens are too few$"):
        run_once(refuse, CPU, 17)
    with pytest.raises(RayTaskError, match="ZeroDivisionError"):
        run_once(share, CPU, 1, ranks=0)


def test_a_task_that_is_followed_reports_while_it_runs(joined_cluster):
    reports = []
    last = follow_once(doze, Nap(steps=4), CPU, reports.append)
    assert reports[0]["tokens"] == 100
    assert reports[-1] == last
    assert last["tokens"] == 400


def dying(tmp_path, *deaths):
    """A work, how far it has come, and how often it died."""
    for name, text in (("kept", "0"), ("kept-died", "")):
        (tmp_path / name).write_text(text)
    job = Dies(kept=str(tmp_path / "kept"), deaths=deaths)
    return job, lambda key: (int((tmp_path / "kept").read_text()),)


def test_a_task_that_dies_often_is_retried_as_long_as_it_gets_further(joined_cluster, tmp_path):
    job, reached = dying(tmp_path, 3, 5, 7, 9)
    reports = []
    last = follow_once(die, job, CPU, lambda metrics: reports.append(metrics["step"]), reached)
    assert last == {"step": 10, FINISHED: 1}
    assert reports == sorted(reports)
    assert (tmp_path / "kept-died").read_text() == "xxxx"


def test_a_task_that_dies_at_the_same_step_fails_with_one_line(joined_cluster, tmp_path):
    job, reached = dying(tmp_path, 3, 5, 5, 5, 5)
    with pytest.raises(SetupError, match=r"^die failed, its process died: .* goes on$"):
        follow_once(die, job, CPU, lambda metrics: None, reached)
    assert (tmp_path / "kept-died").read_text() == "xxxx"
    with pytest.raises(SetupError, match=r"^kill failed, its process died: .* goes on$"):
        run_once(kill, CPU)
