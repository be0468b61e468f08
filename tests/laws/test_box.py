"""Intervals within a box of coefficients: those of a profile, and what a side of the box ends.

Coefficients of a line are its slope and its intercept.
"""

import dataclasses

import numpy as np
import pytest

from raydistill.laws.forms import line
from raydistill.laws.search.bootstrap import noise_ends
from raydistill.laws.search.box import box_ends
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import profile_ends

X = np.linspace(0.1, 2.0, 20)
NOISE = 0.05 * np.random.default_rng(0).standard_normal(20)
WIDE = np.array([[-10.0, -10.0], [10.0, 10.0]])


def problem(outputs, bounds_2K=WIDE, evaluate=line.form.evaluate, jacobian=None):
    """A form of two coefficients with a box, and points of it."""
    form = dataclasses.replace(
        line.form, evaluate=evaluate, jacobian=jacobian, bounds_2K=np.array(bounds_2K)
    )
    order = np.arange(len(X))
    return Problem(form=form, inputs={"x": X}, outputs=outputs, units={}, order=order)


def optimum(given):
    """The coefficients of the least squares, and their sum."""
    search = given.minimise(np.array([[0.5, 0.5]]))
    return search.z_RK[0], float(search.cost_R[0])


def decay(z_RK, inputs):
    return z_RK[:, :1] * np.exp(-z_RK[:, 1:] * inputs["x"])


def coefficients(z_RK):
    return z_RK


def between_and_beyond(z_RK):
    return z_RK[:, :1] * np.exp(-z_RK[:, 1:] * np.array([1.0, 4.0]))


@pytest.mark.parametrize("quantities", [coefficients, between_and_beyond])
@pytest.mark.parametrize("evaluate", [line.form.evaluate, decay], ids=["linear", "bent"])
def test_inside_the_box_they_are_those_of_the_profile(evaluate, quantities):
    given = problem(evaluate(np.array([[2.0, 0.7]]), {"x": X})[0] + NOISE, evaluate=evaluate)
    z_K, rss = optimum(given)
    for ours, theirs in zip(
        box_ends(given, z_K, rss, 18, quantities),
        profile_ends(given, z_K, rss, 18, quantities),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_side_that_the_points_do_not_speak_against_is_no_end_of_what_is_told():
    """A slope of 0.7 ± 0.04, looked for up to 0.71 only."""
    given = problem(2 + 0.7 * X + NOISE, bounds_2K=[[-10, -10], [0.71, 10]])
    z_K, rss = optimum(given)
    _, low_K, high_K = box_ends(given, z_K, rss, 18, coefficients)
    assert high_K[0] == 0.71
    _, low_open_K, high_open_K = box_ends(given, z_K, rss, 18, coefficients, open_at_sides=True)
    assert high_open_K[0] == np.inf
    assert low_open_K[0] == low_K[0] > 0.5
    assert np.isfinite([low_open_K[1], high_open_K[1]]).all()  # the intercept has no such side
    noise = np.sqrt(rss / 18)
    _, low_K, high_K = noise_ends(given, z_K, noise, 18, coefficients, 1.0, open_at_sides=True)
    assert high_K[0] == np.inf
    assert 0.5 < low_K[0] < 0.71


def test_a_search_along_a_side_comes_to_the_optimum_there():
    given = problem(2 + 0.7 * X + NOISE, bounds_2K=[[-10, -10], [0.5, 10]])
    z_K, rss = optimum(given)
    assert z_K[0] == 0.5
    level = np.mean(given.outputs - 0.5 * X)
    assert z_K[1] == pytest.approx(level, rel=1e-12)
    assert rss == pytest.approx(float(((given.outputs - level - 0.5 * X) ** 2).sum()), rel=1e-12)


def test_ends_are_those_of_all_parts_that_searches_came_by():
    """The square of a coefficient is the slope: its minus is as good."""

    def evaluate(z_RK, inputs):
        return z_RK[:, :1] ** 2 * inputs["x"] + z_RK[:, 1:]

    given = problem(2 + 0.02 * X + NOISE, evaluate=evaluate)
    z_K, rss = optimum(given)
    _, low_K, high_K = box_ends(given, z_K, rss, 18, coefficients)
    assert low_K[0] == pytest.approx(-high_K[0], rel=1e-3)  # the least squares are at one of them
    assert z_K[0] > 0


def test_points_without_noise_leave_nothing_to_move():
    given = problem(2 + 0.5 * X)
    for end_K in box_ends(given, np.array([0.5, 2.0]), 0.0, 18, coefficients):
        assert end_K.tolist() == [0.5, 2.0]
