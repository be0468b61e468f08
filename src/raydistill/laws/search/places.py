"""Intervals of a form with places (knots, jumps), over every place that the points allow.

Given the places, a form is linear, and the profile of a quantity is a parabola. Its interval is the
union of those at all places whose sum of squares is low enough: what is not known about the place
is in it.

Shapes: R places tried, n points, K coefficients, Q quantities.
"""

from typing import Any

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import Quantities, influences, quantile


def placed_ends(
    problem: Problem, z_K: FloatArray, rss: float, df: int, quantities: Quantities
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each quantity's value, lower and upper end, (Q,) each."""
    value_Q = np.asarray(quantities(z_K[None])[0], dtype=np.float64)
    z_RK = np.concatenate([z_K[None], problem.form.starts(problem.inputs, problem.outputs)])
    rss_R = ((problem.form.evaluate(z_RK, problem.inputs) - problem.outputs) ** 2).sum(axis=1)
    usual = quantile(df) ** 2
    place = max(problem.form.place_excess, usual)
    limit = rss * (1 + place / df) * (1 + 1e-12)
    z_RK, rss_R = z_RK[rss_R <= limit], rss_R[rss_R <= limit]
    low_RQ, high_RQ = _over_the_cell(problem, z_RK, quantities)
    spare_R = rss * (1 + usual / df) - rss_R
    for row, (z, spare) in enumerate(zip(z_RK, spare_R, strict=True)):
        influence_Qn = influences(problem, z, quantities)
        is_place_Q = np.abs(influence_Qn).max(axis=1) == 0
        width_Q = np.sqrt(max(spare, 0.0) * (influence_Qn**2).sum(axis=1))
        counts_Q = is_place_Q | (spare >= 0)
        low_RQ[row] = np.where(counts_Q, low_RQ[row] - width_Q, np.inf)
        high_RQ[row] = np.where(counts_Q, high_RQ[row] + width_Q, -np.inf)
    return value_Q, low_RQ.min(axis=0), high_RQ.max(axis=0)


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
