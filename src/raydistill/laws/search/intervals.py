"""95 % intervals of whatever a fit tells, widened by what the points' scatter lacks.

They are by profile (`profile.py`, `places.py`, `box.py`), of Huber's losses by redrawn noise.

The scatter of points about the law holds what is each run's own: its seed, and how far the law is
from it. What all points share (they were measured on the same documents) it cannot hold. Where
resamples of the points are known (`Points.samples_RN`), a quantity's variance is that which they
give it, and the scatter that they leave unexplained beside it, as in a random-effects analysis
(DerSimonian and Laird 1986); the profile's ends are stretched by that.

Shapes: n points, K coefficients, Q quantities.
"""

from dataclasses import dataclass

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.bootstrap import noise_ends
from raydistill.laws.search.box import box_ends
from raydistill.laws.search.places import placed_ends
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import Quantities, influences, profile_ends, quantile


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Optimum:
    """Where a search ended, and how uncertain its points are.

    Attributes:
        z_K: the coefficients.
        noise: the standard deviation of a point about the law.
        df: points less coefficients.
        measured_nn: the covariance of the points by resampling, or None.
        huber: of the loss that was lowest there; 0 for squares.
    """

    z_K: FloatArray
    noise: float
    df: int
    measured_nn: FloatArray | None = None
    huber: float = 0.0


def intervals(
    problem: Problem,
    optimum: Optimum,
    quantities: Quantities,
    *,
    noise: float = 0.0,
    open_at_sides: bool = False,
) -> FloatArray:
    """Value, lower and upper end of each quantity, (3, Q); an end may be infinite.

    With a discrete place `noise`, how far off one further run is at 95 %, is added to the width at
    each gap, as independent errors are. Of a form with a box `open_at_sides` is as in `box_ends`.
    """
    rss = optimum.noise**2 * optimum.df
    z_K, df = optimum.z_K, optimum.df
    if optimum.huber:
        value_Q, low_Q, high_Q = noise_ends(
            problem, z_K, optimum.noise, df, quantities, optimum.huber, open_at_sides=open_at_sides
        )
    elif problem.form.places:
        value_Q, low_Q, high_Q = placed_ends(problem, z_K, rss, df, quantities, noise)
    elif problem.form.is_boxed and df > 0:
        value_Q, low_Q, high_Q = box_ends(
            problem, z_K, rss, df, quantities, open_at_sides=open_at_sides
        )
    else:
        value_Q, low_Q, high_Q = profile_ends(problem, z_K, rss, df, quantities)
    if optimum.measured_nn is not None and optimum.df > 0:
        influence_Qn = influences(problem, optimum.z_K, quantities)
        scatter_Q = optimum.noise * np.sqrt((influence_Qn**2).sum(axis=1))
        covariance_nn = _covariance(problem, optimum, optimum.measured_nn)
        error_Q = np.sqrt(np.einsum("qn,nm,qm->q", influence_Qn, covariance_nn, influence_Qn))
        if optimum.noise > 1e-13:
            with np.errstate(invalid="ignore", divide="ignore"):
                stretch_Q = np.where(scatter_Q > 0, error_Q / scatter_Q, 1.0)
            low_Q = value_Q - stretch_Q * (value_Q - low_Q)
            high_Q = value_Q + stretch_Q * (high_Q - value_Q)
        else:
            low_Q = value_Q - quantile(optimum.df) * error_Q
            high_Q = value_Q + quantile(optimum.df) * error_Q
    return np.stack([value_Q, low_Q, high_Q])


def _covariance(problem: Problem, optimum: Optimum, measured_nn: FloatArray) -> FloatArray:
    """That of the points: what resampling shows, and the scatter that it does not explain."""
    j_nK = problem.derivatives(optimum.z_K[None])[0]
    rest_nn = np.eye(len(j_nK)) - j_nK @ np.linalg.pinv(j_nK)
    expected = float(np.einsum("nm,mn->", rest_nn, measured_nn))
    unexplained = max(0.0, optimum.noise**2 - expected / optimum.df)
    return measured_nn + unexplained * np.eye(len(measured_nn))
