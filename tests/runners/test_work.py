import time

from raydistill.runners.cluster.work import FINISHED, paced


def test_the_first_and_the_last_item_are_reported_and_the_last_is_marked():
    items = [{"tokens": n} for n in range(1, 101)]
    reported = list(paced(iter(items), agree=int))
    assert reported[0] == {"tokens": 1}
    assert reported[-1] == {"tokens": 100, FINISHED: 1}
    assert len(reported) < 10  # strides only double, as the items take no time at all


def test_ranks_report_the_same_items_however_fast_each_is():
    strides = []
    leader = list(paced(({"n": n} for n in range(50)), agree=lambda s: strides.append(s) or s))
    replay = iter(strides)
    slow = (time.sleep(0.01) or {"n": n} for n in range(50))
    assert list(paced(slow, agree=lambda s: next(replay))) == leader
