"""The front of loss over FLOPs, and whether it is broken."""

import numpy as np
import pytest

from laws.test_refits import FRONT
from raydistill.laws.points import Points
from raydistill.laws.reduced_scale.evidence import FORMS, evidence, points_needed
from raydistill.laws.reduced_scale.front import BINS, dominated, front


def points(flops, loss):
    return Points(inputs={"x": flops}, outputs=loss, names=tuple(map(str, range(len(flops)))))


def planted(n, jump=1.0, noise=0.003, seed=0):
    """A power law over two decades; its right half is lower by a factor."""
    flops = np.geomspace(1e12, 1e14, n)
    random = np.random.default_rng(seed).standard_normal(n)
    loss = 30 * flops**-0.07 * np.exp(noise * random)
    return points(flops, np.where(flops < 1.1e13, loss, loss / jump))


def test_the_front_is_the_lowest_of_each_bin_at_fixed_places():
    rng = np.random.default_rng(0)
    flops, loss = 10 ** rng.uniform(11, 14, 300), rng.uniform(3, 6, 300)
    kept = front(flops, loss)
    bins = np.floor(BINS * np.log10(flops)).astype(int)
    assert [bins[i] for i in kept] == sorted(set(bins))
    assert all(loss[i] == loss[bins == bins[i]].min() for i in kept)
    half = np.arange(300) % 2 == 0
    of_half = {flops[half][i] for i in front(flops[half], loss[half])}
    assert {flops[i] for i in kept if half[i]} <= of_half
    assert front([], []) == ()


def test_a_bin_that_a_cheaper_one_beats_is_counted():
    assert dominated([4.0, 3.0, 3.0, 2.9, 3.5]) == 2


@pytest.fixture(scope="module")
def published():
    """The paper's own 31 points."""
    return evidence(points(*FRONT.T))


def test_the_papers_front_jumps_between_the_two_points_that_it_says(published):
    assert (published.place.form, published.best.form) == ("jump", "jump")
    assert (published.place.low, published.place.high) == (2.00e15, 2.95e15)
    assert published.place.low < 2.2e15 < published.place.high
    assert published.looks_broken["jump"] == 1 / 2000


def test_one_power_law_has_no_break():
    found = [evidence(planted(20, seed=seed)).place for seed in (0, 1)]
    assert found == [None, None]


def test_a_planted_jump_is_told_between_two_observed_values():
    law = evidence(planted(20, jump=1.1))
    observed = law.fits["jump"].table.inputs["x"]
    assert {law.place.low, law.place.high} <= set(observed)
    assert law.place.low < 1.1e13 < law.place.high
    assert law.best.form == "jump"


def test_forms_without_points_enough_are_not_compared():
    for n in range(11):
        law = evidence(planted(n))
        assert list(law.fits) == [form for form in FORMS if n >= points_needed(form)]
        assert all(np.isfinite(fit.aicc) for fit in law.fits.values())
        assert law.can_tell == (n >= points_needed("knots"))
    assert evidence(planted(4)).best is None
