"""Intervals of a form with places (knots, jumps), over every place that the points allow.

Given the places, a form is linear, and the profile of a quantity is a parabola. Its interval is the
union of those at all places whose sum of squares is low enough: what is not known about the place
is in it.

A place that is anywhere between two observed values (`Form.discrete`) is no number but one of a few
gaps, and its interval is the set of gaps that a test does not reject at 5 %. The test is exact for
any number of points (Worsley 1986, Biometrika 73, 91–104): if a gap is the right one, then given
the law fitted there and how far from it the points are, their direction from it is uniform, so how
much better the best gap fits is drawn. The right gap is in such a set in 95 % of cases where
several compete, and in more where noise is too small for another one to fit better.

Shapes: R places tried, n points, K coefficients, Q quantities.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydistill.laws.points import FloatArray
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import LEVEL, Quantities, influences, quantile

DRAWS = 999  # for each gap that is tested
_SLACK = 1 + 1e-12  # rounding in a sum of squares


def placed_ends(
    problem: Problem,
    z_K: FloatArray,
    rss: float,
    df: int,
    quantities: Quantities,
    noise: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each quantity's value, lower and upper end, (Q,) each; `noise` is in every width."""
    value_Q = np.asarray(quantities(z_K[None])[0], dtype=np.float64)
    z_RK = np.concatenate([z_K[None], problem.form.starts(problem.inputs, problem.outputs)])
    rss_R = ((problem.form.evaluate(z_RK, problem.inputs) - problem.outputs) ** 2).sum(axis=1)
    if problem.form.discrete:
        possible_R = possible_gaps(problem, z_RK)
        spare_R = rss_R * quantile(df) ** 2 / df
    else:
        spare_R = rss * (1 + quantile(df) ** 2 / df) * _SLACK - rss_R
        possible_R = spare_R >= 0
    z_RK, spare_R = z_RK[possible_R], spare_R[possible_R]
    low_RQ, high_RQ = _over_the_cell(problem, z_RK, quantities)
    length_RQ = [np.linalg.norm(influences(problem, z_K, quantities), axis=1) for z_K in z_RK]
    width_RQ = np.hypot(np.sqrt(spare_R)[:, None] * length_RQ, noise)
    return value_Q, (low_RQ - width_RQ).min(axis=0), (high_RQ + width_RQ).max(axis=0)


def possible_gaps(problem: Problem, z_RK: FloatArray, *, seed: int = 0) -> NDArray[np.bool_]:
    """Which rows, each the best law at its place, are not rejected at 5 %."""
    from scipy.special import betainc  # noqa: PLC0415  (half a second that few drivers need)

    n, linear = len(problem.outputs), problem.form.coefficients - problem.form.places
    law_Rn = problem.form.evaluate(z_RK, problem.inputs)
    rss_R = ((law_Rn - problem.outputs) ** 2).sum(axis=1)
    least = rss_R.min() * _SLACK
    possible_R: NDArray[np.bool_] = rss_R <= max(least, 1e-26 * n)
    # Another place adds `linear` directions at most, so this is no less than what is drawn below
    at_most_R = len(z_RK) * betainc((n - 2 * linear) / 2, linear / 2, least / rss_R)
    basis_RnL = np.linalg.qr(problem.derivatives(z_RK)[:, :, :linear])[0]
    to_basis_RLn = np.swapaxes(basis_RnL, 1, 2)
    normal_nD = np.random.default_rng(seed).standard_normal((n, DRAWS))
    seen_RLD, length_D = to_basis_RLn @ normal_nD, (normal_nD**2).sum(axis=0)
    for row in np.flatnonzero(~possible_R & ~(at_most_R < LEVEL)):
        own_LD = seen_RLD[row]
        scale_D = np.sqrt(rss_R[row] / (length_D - (own_LD**2).sum(axis=0)))
        away_RLD = (seen_RLD - to_basis_RLn @ basis_RnL[row] @ own_LD) * scale_D
        kept_RLD = (to_basis_RLn @ law_Rn[row])[:, :, None] + away_RLD
        left_RD = (law_Rn[row] ** 2).sum() + rss_R[row] - (kept_RLD**2).sum(axis=1)
        possible_R[row] = 1 + (left_RD.min(axis=0) <= least).sum() > LEVEL * (1 + DRAWS)
    return possible_R


def _over_the_cell(
    problem: Problem, z_RK: FloatArray, quantities: Quantities
) -> tuple[FloatArray, FloatArray]:
    """The least and the largest value of each quantity as a place moves through its cell."""
    form = problem.form
    assert form.cells is not None
    values: list[Any] = [quantities(z_RK)]
    for edge_RB in form.cells(z_RK, problem.inputs):
        for place in range(form.places):
            moved_RK = z_RK.copy()
            column = form.coefficients - form.places + place
            moved_RK[:, column] = edge_RB[:, place]
            values.append(quantities(moved_RK))
    return np.min(values, axis=0), np.max(values, axis=0)
