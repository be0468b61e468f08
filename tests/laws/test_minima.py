"""The optimum of a curve, and how the window moves it."""

import numpy as np
import pytest

from raydistill.laws.minima import fit_minimum
from raydistill.laws.points import Points

A, B, E, ALPHA, BETA = 406.4, 410.7, 1.69, 0.34, 0.28  # Hoffmann et al. 2022, approach 3


def curve_over_tokens(flops, grid):
    """Chinchilla's loss at equal FLOPs against tokens, on a grid around its true optimum."""
    best = (BETA * B / (ALPHA * A) * (flops / 6) ** ALPHA) ** (1 / (ALPHA + BETA))
    tokens = best * np.geomspace(1 / grid, grid, 15)
    loss = E + A * (flops / 6 / tokens) ** -ALPHA + B * tokens**-BETA
    return best, Points(inputs={"x": tokens}, outputs=loss, names=tuple(map(str, range(15))))


@pytest.mark.parametrize(("grid", "bias_pct"), [(2, -0.33), (4, -1.30), (8, -2.90), (16, -5.10)])
def test_a_parabola_is_biased_by_its_window(grid, bias_pct):
    best, points = curve_over_tokens(1e20, grid)
    optimum = fit_minimum(points, 4 * grid).parameters["optimum"].value
    assert 100 * (optimum / best - 1) == pytest.approx(bias_pct, abs=0.005)


def test_points_outside_the_window_are_left_out_with_its_centre():
    best, points = curve_over_tokens(1e20, 8)
    law = fit_minimum(points)
    assert law.excluded[0].reason.startswith("not within 4× of x ")
    assert law.box["x"][0] > best / 4.2
    assert law.box["x"][1] < best * 4.2


def test_a_curve_that_only_falls_has_no_optimum():
    x = np.geomspace(1, 16, 10)
    noise = 0.003 * np.random.default_rng(0).standard_normal(10)
    points = Points(inputs={"x": x}, outputs=3 - 0.1 * np.log(x) + noise, names=tuple("abcdefghij"))
    assert not fit_minimum(points, 16).parameters["optimum"].determined
