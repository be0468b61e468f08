"""Levenberg and Marquardt's least squares, many at once: of starts, resamples and profiles.

Shapes: R fits, n residuals, K coefficients. Each row is a fit of its own, which no other sees.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from raydistill.laws.points import FloatArray

Rows = NDArray[np.intp]
Residuals = Callable[[FloatArray, Rows], FloatArray]  # z (r, K) of those rows to (r, n)
Derivatives = Callable[[FloatArray, Rows], FloatArray]  # to (r, n, K)

ITERATIONS = 300
_COMPLEX_STEP = 1e-30  # a difference without cancellation: derivatives to the last digit
_ENOUGH = 1e-22  # a step that lowers the cost by less than this share ends the search
_ROUNDING = 1e-12  # or below this one, if it does not lower it at all
_SLACK = 1 + 1e-13  # rounding in a sum of squares is no rise
_STUCK = 1e14  # the damping at which no step helps


class Searches(NamedTuple):
    """Where searches ended."""

    z_RK: FloatArray
    cost_R: FloatArray  # inf where one failed
    ended_R: NDArray[np.bool_]  # whether within the iterations


def minimise(
    residuals: Residuals,
    derivatives: Derivatives,
    start_RK: FloatArray,
    *,
    huber: float = 0.0,
    iterations: int = ITERATIONS,
) -> Searches:
    """R searches.

    Args:
        residuals: weighed already.
        derivatives: of the residuals.
        start_RK: where each search begins.
        huber: beyond which a residual r counts `huber·(2|r| − huber)`, not r²; 0 is never.
        iterations: at most.
    """
    z_RK = start_RK.astype(np.float64)
    rows: Rows = np.arange(len(z_RK))
    with np.errstate(all="ignore"):
        cost_R = _cost(residuals(z_RK, rows), huber)
        damping_R = np.full(len(z_RK), 1e-3)
        rows = rows[np.isfinite(cost_R)]
        for _ in range(iterations):
            if not len(rows):
                break
            step_RK, gain_R = _step(
                residuals(z_RK[rows], rows), derivatives(z_RK[rows], rows), damping_R[rows], huber
            )
            there_RK = z_RK[rows] + step_RK
            there_R = _cost(residuals(there_RK, rows), huber)
            good = there_R <= cost_R[rows] * _SLACK
            still = (there_R >= cost_R[rows]) & (gain_R < _ROUNDING * cost_R[rows])
            done = ~(gain_R > _ENOUGH * cost_R[rows]) | (damping_R[rows] > _STUCK) | still
            z_RK[rows[good]], cost_R[rows[good]] = there_RK[good], there_R[good]
            damping_R[rows] *= np.where(good, 0.1, 8.0)
            rows = rows[~done]
    ended_R = np.isfinite(cost_R)
    ended_R[rows] = False
    return Searches(z_RK, cost_R, ended_R)


def complex_derivatives(function: Callable[[Any], Any], z_RK: FloatArray) -> FloatArray:
    """The derivatives (R, …, K) of an analytic function of z (R, K)."""
    columns = []
    for k in range(z_RK.shape[1]):
        shifted_RK = z_RK.astype(np.complex128)
        shifted_RK[:, k] += 1j * _COMPLEX_STEP
        columns.append(np.imag(function(shifted_RK)) / _COMPLEX_STEP)
    return np.stack(columns, axis=-1)


def _cost(r_Rn: FloatArray, huber: float) -> FloatArray:
    squares_Rn = r_Rn**2
    if huber:
        beyond_Rn = huber * (2 * np.abs(r_Rn) - huber)
        squares_Rn = np.where(np.abs(r_Rn) <= huber, squares_Rn, beyond_Rn)
    cost_R = squares_Rn.sum(axis=1)
    return cast(FloatArray, np.where(np.isfinite(cost_R), cost_R, np.inf))


def _step(
    r_Rn: FloatArray, j_RnK: FloatArray, damping_R: FloatArray, huber: float
) -> tuple[FloatArray, FloatArray]:
    """The damped step of each row, and by how much it should lower the cost."""
    weighed_RnK = j_RnK
    if huber:
        weighed_RnK = j_RnK * np.minimum(1, huber / np.maximum(np.abs(r_Rn), 1e-300))[:, :, None]
    gradient_RK = np.einsum("rnk,rn->rk", weighed_RnK, r_Rn)
    normal_RKK = np.swapaxes(weighed_RnK, 1, 2) @ j_RnK
    scale_RK = np.sqrt(np.einsum("rkk->rk", normal_RKK))
    scale_RK[~(scale_RK > 0)] = 1.0  # a coefficient that nothing depends on stays
    normal_RKK = normal_RKK / (scale_RK[:, :, None] * scale_RK[:, None, :])
    normal_RKK[~np.isfinite(normal_RKK)] = 0.0
    damped_RKK = normal_RKK + (damping_R[:, None, None] + 1e-15) * np.eye(j_RnK.shape[-1])
    right_RK = np.nan_to_num(gradient_RK / scale_RK)
    step_RK = -np.linalg.solve(damped_RKK, right_RK[:, :, None])[:, :, 0]
    gain_R = -(step_RK * right_RK).sum(axis=1)
    return step_RK / scale_RK, gain_R
