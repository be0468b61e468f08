"""Which gaps a jump may be in: exact where several compete, one where no other can be."""

import numpy as np
import pytest

from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.laws.search.places import possible_gaps
from raydistill.laws.search.problem import prepare

SIZES = np.repeat(1e5 * 2.0 ** np.arange(10), 2)


def runs(drop, seed, noise=0.01):
    law = 12 * SIZES**-0.09 * np.where(SIZES < 1.2e6, 1.0, drop)
    drawn = np.exp(noise * np.random.default_rng(seed).standard_normal(len(SIZES)))
    names = tuple(f"run-{i:02d}" for i in range(len(SIZES)))
    return Points(inputs={"x": SIZES}, outputs=law * drawn, names=names)


def gaps(points):
    """Whether the right gap is in the set, and how many are."""
    problem = prepare("jump", points)
    z_SK = problem.form.starts(problem.inputs, problem.outputs)
    possible_S = possible_gaps(problem, z_SK)
    place_S = np.exp(z_SK[:, -1]) * problem.units["x"]
    right = np.argmin(np.abs(np.log(place_S / (8e5 * 2**0.5))))
    return possible_S[right], possible_S.sum()


def test_the_right_gap_is_in_the_set_in_95_percent_where_several_compete():
    held_D, count_D = np.array([gaps(runs(0.98, seed)) for seed in range(300)]).T
    assert 0.92 <= held_D.mean() <= 0.98
    assert count_D.mean() > 2


def test_a_large_jump_is_in_one_gap():
    assert gaps(runs(0.8, 0)) == (True, 1)
    assert gaps(runs(0.8, 0, noise=0.0)) == (True, 1)


def test_without_a_jump_most_gaps_are_possible():
    held_D, count_D = np.array([gaps(runs(1.0, seed)) for seed in range(40)]).T
    assert held_D.mean() >= 0.85
    assert count_D.mean() > 5


def test_the_interval_goes_from_the_first_gap_to_the_last():
    told = fit("jump", runs(0.8, 0)).parameters["break"]
    assert (told.low, told.high) == pytest.approx((8e5, 1.6e6))
    unsure = fit("jump", runs(0.98, 1))
    problem = prepare("jump", unsure.points)
    z_SK = problem.form.starts(problem.inputs, problem.outputs)
    rows = np.flatnonzero(possible_gaps(problem, z_SK))
    edges = np.unique(SIZES)[1:-1]
    told = unsure.parameters["break"]
    assert (told.low, told.high) == pytest.approx((edges[rows[0]], edges[rows[-1] + 1]))


def test_a_further_run_may_be_on_either_side_of_a_jump_that_may_be_in_two_gaps():
    law = fit("jump", runs(0.97, 3))
    at = law.predict({"x": 1.19e6})
    assert at.interval_with_noise[0] < at.interval[0] < at.interval[1] < at.interval_with_noise[1]
