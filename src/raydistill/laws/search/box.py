"""Intervals by profile of a form whose coefficients have a box, some of them at its sides.

The interval is the one of `profile.py`, from the least to the greatest value of a quantity wherever
the sum of squares is at most RSS·(1 + t²/df), here within the box. It is looked for directly: by
steps to the furthest point of that set that the linear model sees (as Venzon and Moolgavkar 1988
do for a likelihood), damped until they hold, along the sides of the box where they would leave it.

The set may be bent, or have several parts. So the ends of each coefficient are looked for too, and
those of the quantities again from the furthest points that any other search came by.

Shapes: R searches, n points, K coefficients, Q quantities.
"""

from typing import Any

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import Quantities, quantile
from raydistill.laws.search.solver import Rows, complex_derivatives, leaving

_STEPS = 30
_AGAIN, _FROM = 3, 5  # how often an end is looked for again, and from how many points each time
_CAUTIOUS, _LEAST, _STUCK = 1e-3, 1e-10, 1e10  # damping: at first, at least, where no step helps
_EXACT = 1e-5  # by this share of its room the level may be passed
_STILL = 1e-6  # a step that moves an end by a smaller share of its distance is none
_PRICE = 2.0  # of a sum of squares above the level, in units of what it gains
_FURTHEST = 60.0  # no search goes on beyond: of a logarithm this is no end
_SHORT = 0.1  # the share of a step by which its bend is found
_BENT = 0.4  # the share of a step above which its bend is not trusted
_FLAT = 1e-7  # the share of the steepest coefficient's slope below which one counts as flat


@np.errstate(all="ignore")  # what the points do not determine may overflow
def box_ends(
    problem: Problem,
    z_K: FloatArray,
    rss: float,
    df: int,
    quantities: Quantities,
    *,
    open_at_sides: bool = False,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each quantity's value, lower and upper end, (Q,) each.

    Args:
        problem: of a form with a box.
        z_K: its optimum.
        rss: the sum of squares there.
        df: points less coefficients, 1 or more.
        quantities: what is told.
        open_at_sides: whether an end that a side of the box stops, not the points, is ±inf. So it
            is for parameters, which go on beyond the box; the law there is as good as at the side.
    """
    value_Q = np.asarray(quantities(z_K[None])[0], dtype=np.float64)
    if rss <= 1e-26 * len(problem.outputs):  # no noise: nothing to move
        return value_Q, value_Q, value_Q
    search = _Search(problem, quantities, level=rss * (1 + quantile(df) ** 2 / df), least=rss)
    asked_ends = np.arange(2 * len(value_Q))
    every = np.arange(2 * (len(value_Q) + len(z_K)))
    found_RK = search.furthest(every, np.repeat(z_K[None], len(every), axis=0))
    for _ in range(_AGAIN):
        seen_RT = search.signs(asked_ends) * quantities(found_RK)[:, asked_ends // 2]
        order_RT = np.argsort(-seen_RT, axis=0, kind="stable")
        ends = np.tile(asked_ends, _FROM)
        again_RK = search.furthest(ends, found_RK[order_RT[:_FROM].ravel()])
        both_RK = np.concatenate([found_RK[asked_ends], again_RK])
        height_FR = search.heights(both_RK, np.tile(asked_ends, _FROM + 1)).reshape(_FROM + 1, -1)
        best_R = np.nanargmax(np.nan_to_num(height_FR, nan=-np.inf), axis=0)
        found_RK[asked_ends] = both_RK.reshape(_FROM + 1, len(asked_ends), -1)[best_R, asked_ends]
    found_RK = found_RK[asked_ends]
    ends_R = search.signs(asked_ends) * search.heights(found_RK, asked_ends)
    if open_at_sides:
        outwards_RK = search.slopes(found_RK, asked_ends)
        stopped_R = leaving(found_RK, outwards_RK, search.bounds_2K).any(axis=1)
        ends_R = np.where(stopped_R, search.signs(asked_ends) * np.inf, ends_R)
    return value_Q, ends_R[::2], ends_R[1::2]


class _Search:
    """For ends of quantities and coefficients: end 2q is the lower end of q, 2q + 1 its upper."""

    def __init__(
        self, problem: Problem, quantities: Quantities, *, level: float, least: float
    ) -> None:
        assert problem.form.bounds_2K is not None
        self.problem, self.quantities = problem, quantities
        self.bounds_2K, self.level = problem.form.bounds_2K, level
        self.allowed = level + _EXACT * (level - least)

    def signs(self, ends: Rows) -> FloatArray:
        """-1 of a lower end, 1 of an upper one, (R,)."""
        return np.where(ends % 2, 1.0, -1.0)

    def heights(self, z_RK: Any, ends: Rows) -> Any:
        """How far out each point is, (R,), in the direction of its end."""
        every_RQ = np.concatenate([self.quantities(z_RK), z_RK], axis=1)
        return self.signs(ends) * every_RQ[np.arange(len(ends)), ends // 2]

    def slopes(self, z_RK: FloatArray, ends: Rows) -> FloatArray:
        """Of the heights, (R, K)."""
        every = np.tile(ends, z_RK.shape[1])
        return np.nan_to_num(complex_derivatives(lambda z: self.heights(z, every), z_RK))

    def furthest(self, ends: Rows, start_RK: FloatArray) -> FloatArray:
        """The furthest point that was found for each end, (R, K), from points within the level."""
        level = self.level
        z_RK, best_RK = start_RK.copy(), start_RK.copy()
        height_R = self.heights(z_RK, ends)
        first_R, best_R = height_R.copy(), height_R.copy()
        r_Rn = self._residuals(z_RK)
        rss_R = (r_Rn**2).sum(axis=1)
        damping_R, still_R = np.full(len(ends), _CAUTIOUS), np.zeros(len(ends))
        rows: Rows = np.arange(len(ends))
        for _ in range(_STEPS):
            if not len(rows):
                break
            step_RK, price_R = self._step(z_RK[rows], r_Rn[rows], ends[rows], damping_R[rows])
            there_RK = np.clip(z_RK[rows] + step_RK, *self.bounds_2K)
            there_Rn, there_R = self._residuals(there_RK), self.heights(there_RK, ends[rows])
            there_rss_R = (there_Rn**2).sum(axis=1)
            moved_R = there_R - height_R[rows]
            above_R = np.maximum(there_rss_R, level) - np.maximum(rss_R[rows], level)
            good = moved_R >= price_R * above_R
            kept = rows[good]
            z_RK[kept], r_Rn[kept] = there_RK[good], there_Rn[good]
            height_R[kept], rss_R[kept] = there_R[good], there_rss_R[good]
            damping_R[rows] = np.maximum(damping_R[rows] * np.where(good, 0.2, 6.0), _LEAST)
            allowed_R = rss_R[rows] <= self.allowed
            further = rows[good & allowed_R & (height_R[rows] > best_R[rows])]
            best_R[further], best_RK[further] = height_R[further], z_RK[further]
            distance_R = best_R[rows] - first_R[rows]
            halts = allowed_R & (np.abs(moved_R) <= _STILL * (distance_R + _STILL))
            still_R[rows] = np.where(good, np.where(halts, still_R[rows] + 1, 0), still_R[rows])
            done = (still_R[rows] > 1) | (damping_R[rows] > _STUCK) | (distance_R > _FURTHEST)
            rows = rows[~done]
        return best_RK

    def _residuals(self, z_RK: FloatArray) -> FloatArray:
        residuals: FloatArray = self.problem.form.evaluate(z_RK, self.problem.inputs)
        return residuals - self.problem.outputs

    def _step(
        self, z_RK: FloatArray, r_Rn: FloatArray, ends: Rows, damping_R: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """To the furthest point that the linear model allows, (R, K), and a price (R,).

        That point is the least sum of squares and a share of the way that rises fastest for what it
        costs; then the step bends as the law does (Transtrum and Sethna 2012), if that is little.
        The price is what a sum of squares above the level must gain in height, to be worth it.
        """
        j_RnK = self.problem.derivatives(z_RK)
        length_RK = np.sqrt((j_RnK**2).sum(axis=1))
        scale_RK = np.maximum(length_RK, _FLAT * length_RK.max(axis=1, keepdims=True) + 1e-300)
        scaled_RnK = j_RnK / scale_RK[:, None, :]
        outwards_RK = self.slopes(z_RK, ends) / scale_RK
        transposed_RKn = np.swapaxes(scaled_RnK, 1, 2)
        inwards_RK = -(transposed_RKn @ r_Rn[:, :, None])[:, :, 0]
        unit_KK = np.eye(z_RK.shape[1])
        normal_RKK = transposed_RKn @ scaled_RnK + damping_R[:, None, None] * unit_KK
        room_R = self.level - (r_Rn**2).sum(axis=1)
        is_held_RK = np.zeros(z_RK.shape, dtype=bool)
        for _ in range(z_RK.shape[1] + 1):
            sides_RK2 = np.nan_to_num(np.stack([inwards_RK, outwards_RK], axis=-1))
            solved_RK2 = np.linalg.solve(normal_RKK + 1e-14 * unit_KK, sides_RK2)
            back_RK, out_RK = solved_RK2[..., 0], solved_RK2[..., 1]
            room_there_R = np.maximum(room_R + (back_RK * inwards_RK).sum(axis=1), 0.0)
            power_R = np.maximum((out_RK * outwards_RK).sum(axis=1), 1e-300)
            share_R = np.sqrt(room_there_R / power_R)
            step_RK = back_RK + share_R[:, None] * out_RK
            held_RK = leaving(z_RK, step_RK, self.bounds_2K)
            is_held_RK = is_held_RK | held_RK
            if not held_RK.any():
                break
            inwards_RK, outwards_RK = (np.where(held_RK, 0.0, x) for x in (inwards_RK, outwards_RK))
            is_held_RKK = held_RK[:, :, None] | held_RK[:, None, :]
            normal_RKK = np.where(is_held_RKK, unit_KK, normal_RKK)
        there_Rn = self._residuals(z_RK + _SHORT * step_RK / scale_RK)
        straight_Rn = r_Rn + _SHORT * (scaled_RnK @ step_RK[:, :, None])[:, :, 0]
        off_Rn1 = ((straight_Rn - there_Rn) / _SHORT**2)[:, :, None]
        right_RK1 = np.where(is_held_RK[:, :, None], 0.0, np.nan_to_num(transposed_RKn @ off_Rn1))
        bend_RK = np.linalg.solve(normal_RKK + 1e-14 * unit_KK, right_RK1)[:, :, 0]
        length_R, bent_R = ((part_RK**2).sum(axis=1) for part_RK in (step_RK, bend_RK))
        step_RK += np.where(bent_R < _BENT**2 * length_R, 1.0, 0.0)[:, None] * bend_RK
        return step_RK / scale_RK, _PRICE / np.maximum(2 * share_R, 1e-300)
