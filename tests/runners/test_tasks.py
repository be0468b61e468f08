import os
import signal
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError

from raydistill.core.errors import DataError, SetupError
from raydistill.runners.cluster.tasks import run_each_once, run_once
from support.ray_works import Dies, die

CPU = {"CPU": 1.0}


def share(tokens, ranks):
    return tokens // ranks


def refuse(number):
    raise DataError(f"{number} tokens are too few")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def die_or_end(job):
    """The last step, if it came to that."""
    return [metrics["step"] for metrics in die(job)][-1]


def test_a_task_returns_its_value_and_raises_its_own_errors(joined_cluster):
    assert run_once(share, CPU, 7, ranks=2) == 3
    with pytest.raises(DataError, match=r"^17 tokens are too few$"):
        run_once(refuse, CPU, 17)
    with pytest.raises(RayTaskError, match="ZeroDivisionError"):
        run_once(share, CPU, 1, ranks=0)


def dying(tmp_path, *deaths):
    """Two works that die so often, one after the other."""
    jobs = [Dies(kept=str(tmp_path / f"kept{number}"), deaths=deaths) for number in range(2)]
    for job in jobs:
        Path(job.kept).write_text("0")
        Path(f"{job.kept}-died").write_text("")
    return jobs


def kept(jobs):
    """How far each has come, by its number."""
    return lambda number: (int(Path(jobs[int(number)].kept).read_text()),)


def deaths(jobs):
    return [len(Path(f"{job.kept}-died").read_text()) for job in jobs]


def test_tasks_that_die_often_are_retried_as_long_as_each_gets_further(joined_cluster, tmp_path):
    jobs = dying(tmp_path, 3, 5, 7, 9)
    assert run_each_once(die_or_end, CPU, jobs, kept(jobs)) == [10, 10]
    assert deaths(jobs) == [4, 4]


def test_a_task_that_dies_at_the_same_step_fails_with_one_line(joined_cluster, tmp_path):
    jobs = dying(tmp_path, 3, 5, 5, 5, 5)[:1]
    with pytest.raises(SetupError, match=r"^die_or_end failed, its process died: .* goes on$"):
        run_each_once(die_or_end, CPU, jobs, kept(jobs))
    assert deaths(jobs) == [4]
    with pytest.raises(SetupError, match=r"^kill failed, its process died: .* goes on$"):
        run_once(kill, CPU)
