"""Intervals by profile: how far a quantity can be moved before the best fit to it is too bad.

A quantity q is moved to both sides, all else fitted anew, until the sum of squares is
RSS·(1 + t²/df), t the 97.5 % point of Student's distribution with df = n − K degrees of freedom
(Bates and Watts 1988, 6.1). This is exact where a form is linear in something, whatever q is
(Fieller's interval of a ratio is one), and does not depend on how the form is written. Where the
sum of squares never gets so high, the interval has no end on that side: the points do not
determine q.

Shapes: R profiles, n points, K coefficients.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.solver import Rows, complex_derivatives, minimise

LEVEL = 0.05
_WEIGHT = 10.0  # of the quantity, in units of its standard error: a larger one makes searches crawl
_FURTHEST = 1e3  # standard errors to which an end is looked for
_ROUNDS = 30
_CLOSE = 1e-11
_UNSEEN = 1e-3  # the share of a quantity's slope that no point sees, above which nothing bounds it

Quantities = Callable[[Any], Any]  # z (R, K) to (R, Q)


def quantile(df: int) -> float:
    """Student's 97.5 % point."""
    from scipy.special import stdtrit  # noqa: PLC0415  (half a second that few drivers need)

    return float(stdtrit(df, 1 - LEVEL / 2)) if df > 0 else np.inf


@np.errstate(all="ignore")  # far from the points much overflows: no end is there
def profile_ends(
    problem: Problem, z_K: FloatArray, rss: float, df: int, quantities: Quantities
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each quantity's value, lower and upper end, (Q,) each; an end that is not there is ±inf."""
    value_Q = np.asarray(quantities(z_K[None])[0], dtype=np.float64)
    step_Q = standard_errors(problem, z_K, rss, df, quantities)
    if df < 1:
        return value_Q, np.full_like(value_Q, -np.inf), np.full_like(value_Q, np.inf)
    if rss <= 1e-26 * len(problem.outputs):  # no noise: nothing to move
        return value_Q, value_Q, value_Q
    walk = _Walk(problem, z_K, rss, df, quantities, value_Q, step_Q)
    ends_2Q = walk.ends()
    return value_Q, ends_2Q[0], ends_2Q[1]


def standard_errors(
    problem: Problem, z_K: FloatArray, rss: float, df: int, quantities: Quantities
) -> FloatArray:
    """Those of the linear approximation, (Q,); inf where the points do not see a quantity move."""
    slope_QK, j_nK = _slopes(problem, z_K, quantities)
    inverse_Kn = np.linalg.pinv(j_nK)
    seen_QK = slope_QK @ inverse_Kn @ j_nK
    length_Q = np.sqrt((slope_QK**2).sum(axis=1))
    unseen_Q = np.sqrt(((slope_QK - seen_QK) ** 2).sum(axis=1)) > _UNSEEN * length_Q
    noise = np.sqrt(rss / max(df, 1))
    error_Q = noise * np.sqrt(((slope_QK @ inverse_Kn) ** 2).sum(axis=1))
    return cast(FloatArray, np.where(unseen_Q, np.inf, error_Q))


def influences(problem: Problem, z_K: FloatArray, quantities: Quantities) -> FloatArray:
    """By how much each quantity moves with each point's output, (Q, n), to first order."""
    slope_QK, j_nK = _slopes(problem, z_K, quantities)
    return cast(FloatArray, slope_QK @ np.linalg.pinv(j_nK))


def _slopes(
    problem: Problem, z_K: FloatArray, quantities: Quantities
) -> tuple[FloatArray, FloatArray]:
    """Of the quantities (Q, K) and of the form (n, K), each coefficient in a unit of its own."""
    slope_QK = complex_derivatives(quantities, z_K[None])[0]
    j_nK = problem.derivatives(z_K[None])[0]
    scale_K = np.sqrt((j_nK**2).sum(axis=0))
    scale_K[scale_K == 0] = 1.0
    return slope_QK / scale_K, j_nK / scale_K


class _Walk:
    """Both ends of each quantity at once: row 2q is the lower end of quantity q."""

    def __init__(
        self,
        problem: Problem,
        z_K: FloatArray,
        rss: float,
        df: int,
        quantities: Quantities,
        value_Q: FloatArray,
        step_Q: FloatArray,
    ) -> None:
        self.problem, self.quantities, self.rss = problem, quantities, rss
        self.noise, self.goal = np.sqrt(rss / df), quantile(df)
        self.which_R = np.repeat(np.arange(len(value_Q)), 2)
        self.sign_R = np.tile([-1.0, 1.0], len(value_Q))
        self.value_R, self.step_R = value_Q[self.which_R], step_Q[self.which_R]
        self.z_RK = np.repeat(z_K[None], len(self.which_R), axis=0)

    def ends(self) -> FloatArray:
        """The ends, (2, Q), by regula falsi (the Illinois method) over where each row is pulled to.

        A row's gap is how far its height is below (negative) or above the goal.
        """
        count = len(self.which_R)
        low_R, low_gap_R = np.zeros(count), np.full(count, -self.goal)
        high_R, high_gap_R = np.full(count, np.inf), np.full(count, np.inf)
        was_below_R = np.zeros(count, dtype=bool)
        pull_R, end_R = np.full(count, self.goal), np.full(count, np.inf)  # in standard errors
        movable_R = np.isfinite(self.value_R) & np.isfinite(self.step_R) & (self.step_R > 0)
        rows = np.flatnonzero(movable_R)
        for turn in range(_ROUNDS):
            reached_R, height_R = self._heights(pull_R[rows], rows)
            ended = ~np.isnan(height_R)
            rows, reached_R, gap_R = rows[ended], reached_R[ended], height_R[ended] - self.goal
            is_below = gap_R < 0
            again = (is_below == was_below_R[rows]) & (turn > 0)
            below, above = rows[is_below], rows[~is_below]
            low_R[below], low_gap_R[below] = pull_R[below], gap_R[is_below]
            high_R[above], high_gap_R[above] = pull_R[above], gap_R[~is_below]
            high_gap_R[rows[again & is_below]] /= 2  # the side that sticks
            low_gap_R[rows[again & ~is_below]] /= 2
            was_below_R[rows] = is_below
            end_R[above] = reached_R[~is_below]
            close = np.abs(gap_R) < _CLOSE * self.goal
            end_R[rows[close]] = reached_R[close]
            rows = rows[~close & (low_R[rows] < _FURTHEST)]
            if not len(rows):
                break
            share_R = low_gap_R[rows] / (low_gap_R[rows] - high_gap_R[rows])
            inward_R = low_R[rows] + share_R * (high_R[rows] - low_R[rows])
            further_R = low_R[rows] * np.clip(self.goal / (low_gap_R[rows] + self.goal), 1.01, 3.0)
            pull_R[rows] = np.where(np.isfinite(high_R[rows]), inward_R, further_R)
        reach_R = np.full(count, np.inf)
        reach_R[movable_R] = end_R[movable_R] * self.step_R[movable_R]
        ends_R = np.where(movable_R, self.value_R, 0.0) + self.sign_R * reach_R
        return cast(FloatArray, ends_R.reshape(-1, 2).T)

    def _heights(self, distance_R: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """How far each row came, in standard errors, and √((RSS there − RSS)·df/RSS).

        The latter is NaN where a search did not end, so that no end is told.
        """
        problem, which_R = self.problem, self.which_R[rows]
        goal_R = self.value_R[rows] + self.sign_R[rows] * distance_R * self.step_R[rows]
        weight_R = _WEIGHT * self.noise / self.step_R[rows]

        def quantity(z_RK: Any, chosen: Rows) -> Any:
            return np.take_along_axis(self.quantities(z_RK), which_R[chosen, None], axis=1)

        def residuals(z_RK: FloatArray, chosen: Rows) -> FloatArray:
            r_Rn = problem.form.evaluate(z_RK, problem.inputs) - problem.outputs
            off_R1 = quantity(z_RK, chosen) - goal_R[chosen, None]
            return np.concatenate([r_Rn, weight_R[chosen, None] * off_R1], axis=1)

        def derivatives(z_RK: FloatArray, chosen: Rows) -> FloatArray:
            every = np.tile(chosen, z_RK.shape[1])
            slope_R1K = complex_derivatives(lambda z: quantity(z, every), z_RK)
            weighed_R1K = weight_R[chosen, None, None] * slope_R1K
            return np.concatenate([problem.derivatives(z_RK), weighed_R1K], axis=1)

        search = minimise(residuals, derivatives, self.z_RK[rows])
        z_RK = search.z_RK
        every = np.arange(len(rows))
        reached_R = self.sign_R[rows] * (quantity(z_RK, every)[:, 0] - self.value_R[rows])
        r_Rn = problem.form.evaluate(z_RK, problem.inputs) - problem.outputs
        excess_R = np.maximum((r_Rn**2).sum(axis=1) - self.rss, 0.0)
        height_R = np.sqrt(excess_R) / self.noise
        below = height_R < self.goal  # a search that went astray is no place to go on from
        self.z_RK[rows] = np.where(below[:, None], z_RK, self.z_RK[rows])
        lost_R = ~search.ended_R & ~below  # too high only for want of steps
        return reached_R / self.step_R[rows], np.where(lost_R, np.nan, height_R)
