from raydistill.runners.cluster.failures import Retries


def test_attempts_are_counted_since_the_last_that_got_further():
    steps = iter([0, 0, 5, 4, 5, 7, 7, 7])
    retries = Retries(lambda key: (next(steps),))
    assert [retries.should_retry("t0") for _ in range(5)] == [True, True, True, True, False]
    assert [retries.should_retry("t0") for _ in range(3)] == [True, True, False]
