"""The cost of a teacher's pass that trials share."""

import dataclasses

from raydistill.reports.results.amortised_teacher import TeacherPrice, teacher_prices
from raydistill.specs.trial import CachedTeacher, ExternalBase
from support.reported import cell

TEACHER = ExternalBase(name="laptop", revision="320B", weights_sha256="c" * 64)


def taught(teacher, *, train_s, teacher_s=0.0):
    """A finished cell with a teacher."""
    sample = cell("input")
    trained = sample.outcome.result.trained
    spec = dataclasses.replace(
        trained.spec, teacher=teacher, train=dataclasses.replace(trained.spec.train, loss="kd")
    )
    cost = dataclasses.replace(trained.cost, train_s=train_s, teacher_s=teacher_s)
    trained = dataclasses.replace(trained, spec=spec, cost=cost)
    result = dataclasses.replace(sample.outcome.result, trained=trained)
    outcome = dataclasses.replace(sample.outcome, result=result)
    return dataclasses.replace(sample, outcome=outcome)


CACHED = CachedTeacher(base=TEACHER, excerpt="top-k-tail=32")


def test_the_pass_is_shared_out():
    price = TeacherPrice(online_s=100.0, cached_s=70.0, pass_s=60.0)
    assert [price.per_trial(n) for n in (1, 3, 10)] == [130.0, 90.0, 76.0]


def test_online_and_cached_stand_side_by_side_with_the_break_even():
    cells = [
        taught(TEACHER, train_s=3600.0),
        taught(CACHED, train_s=1800.0, teacher_s=2700.0),
        taught(CACHED, train_s=1800.0, teacher_s=1.0),  # read what the other had written
    ]
    (sentence,) = teacher_prices(cells)
    assert "1 device-hours with the teacher online" in sentence
    assert "1.25 for 1, 0.75 for 3, 0.575 for 10" in sentence
    assert "even at 1.5 trials" in sentence


def test_a_cache_that_is_slower_than_its_teacher_is_never_even():
    cells = [taught(TEACHER, train_s=10.0), taught(CACHED, train_s=11.0, teacher_s=5.0)]
    assert "never even" in teacher_prices(cells)[0]


def test_without_a_peer_there_is_no_sentence():
    assert teacher_prices([taught(CACHED, train_s=11.0, teacher_s=5.0), cell("input")]) == ()


def on_device(sample, device):
    trained = sample.outcome.result.trained
    trained = dataclasses.replace(
        trained, made_by=dataclasses.replace(trained.made_by, device=device)
    )
    result = dataclasses.replace(sample.outcome.result, trained=trained)
    return dataclasses.replace(sample, outcome=dataclasses.replace(sample.outcome, result=result))


def test_seconds_of_another_device_are_not_compared():
    online, cached = taught(TEACHER, train_s=10.0), taught(CACHED, train_s=5.0, teacher_s=5.0)
    assert len(teacher_prices([online, cached])) == 1
    assert teacher_prices([online, on_device(cached, "another")]) == ()


def test_a_pass_that_another_sweep_made_has_no_price_here():
    assert teacher_prices([taught(TEACHER, train_s=10.0), taught(CACHED, train_s=5.0)]) == ()
