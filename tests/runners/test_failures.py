from types import SimpleNamespace

import pytest

from raydistill.core.errors import OwnCodeError
from raydistill.runners.cluster.failures import Retries, nothing_kept
from raydistill.runners.tune.admission import Admission
from raydistill.runners.tune.listener import Listener


def test_attempts_are_counted_since_the_last_that_got_further():
    steps = iter([0, 0, 5, 4, 5, 7, 7, 7])
    retries = Retries(lambda key: (next(steps),))
    assert [retries.should_retry("t0") for _ in range(5)] == [True, True, True, True, False]
    assert [retries.should_retry("t0") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OwnCodeError("losses/odd.py:3: ValueError: odd"), False),
        (FloatingPointError("the loss is nan at step 0"), False),
        (RuntimeError("the device is lost"), True),
    ],
)
def test_a_trial_is_not_tried_again_where_it_would_fail_again(error, again):
    listener = Listener(lambda *_: None, Retries(nothing_kept), Admission(), {"t0": "input"}, False)
    trial = SimpleNamespace(config={"key": "t0"})
    listener.on_step_begin(0, [trial])
    listener.note_failure(error, None)
    assert trial.should_recover() is again
