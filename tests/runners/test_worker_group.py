"""Trials on several devices: which of the ranks' errors is a trial's own."""

import copy

from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
from ray.train.v2._internal.execution.worker_group.poll import WorkerGroupPollStatus, WorkerStatus

from raydistill.core.errors import OwnCodeError
from raydistill.runners.tune.worker_group import cause_of


def group_error(*errors):
    """As Ray Train makes it of the ranks' errors, and sends it to whoever waits."""
    statuses = {
        rank: WorkerStatus(running=False, error=UserExceptionWithTraceback(error, "traceback"))
        for rank, error in enumerate(errors)
    }
    status = WorkerGroupPollStatus(worker_statuses=statuses)
    return copy.copy(status.get_worker_group_error())  # by the same __reduce__ as pickle


def test_an_error_of_ones_own_on_any_rank_is_the_trials():
    """The other rank finds its peer gone."""
    line = "losses/fails.py:2: KeyError: 'x'"
    cause = cause_of(group_error(RuntimeError("connection closed by peer"), OwnCodeError(line)))
    assert (type(cause), str(cause)) == (OwnCodeError, line)


def test_of_other_errors_the_whole_group_is_told():
    error = group_error(RuntimeError("a"), RuntimeError("b"))
    assert cause_of(error) is error
