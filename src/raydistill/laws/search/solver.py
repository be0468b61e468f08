"""Levenberg and Marquardt's least squares, many at once: of starts, resamples and profiles.

Shapes: R fits, n residuals, K coefficients. Each row is a fit of its own, which no other sees.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raydistill.laws.points import FloatArray

Rows = NDArray[np.intp]
Residuals = Callable[[FloatArray, Rows], FloatArray]  # z (r, K) of those rows to (r, n)
Derivatives = Callable[[FloatArray, Rows], FloatArray]  # to (r, n, K)

ITERATIONS = 300
_CAUTIOUS, _BOLD = 1e-3, 1.0  # the first damping, of squares and of Huber's loss
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
    weights_Rn: FloatArray | None = None,
    huber: float = 0.0,
    bounds_2K: FloatArray | None = None,
    iterations: int = ITERATIONS,
) -> Searches:
    """R searches for the least sum of squares, or of Huber's losses.

    Args:
        residuals: of some of the rows, from their coefficients.
        derivatives: of the residuals.
        start_RK: where each search begins.
        weights_Rn: how often each residual counts; once by default.
        huber: beyond which a residual r counts `huber·(2|r| − huber)`, not r²; 0 is never.
        bounds_2K: the least and the largest value of each coefficient; none by default.
        iterations: at most.
    """
    z_RK = start_RK.astype(np.float64)
    if bounds_2K is not None:
        z_RK = np.clip(z_RK, *bounds_2K)
    rows: Rows = np.arange(len(z_RK))
    with np.errstate(all="ignore"):
        r_Rn = residuals(z_RK, rows)
        weights_Rn = np.ones_like(r_Rn) if weights_Rn is None else weights_Rn
        cost_R = _cost(r_Rn, weights_Rn, huber)
        damping_R = np.full(len(z_RK), _BOLD if huber else _CAUTIOUS)
        rows = rows[np.isfinite(cost_R)]
        for _ in range(iterations):
            if not len(rows):
                break
            at = r_Rn[rows], weights_Rn[rows], damping_R[rows]
            j_RnK = derivatives(z_RK[rows], rows)
            step_RK, gain_R = _step(*at, j_RnK, huber, in_box=bounds_2K is not None)
            if bounds_2K is not None:
                step_RK, gain_R = _within(z_RK[rows], bounds_2K, step_RK, gain_R, at, j_RnK, huber)
            there_RK = z_RK[rows] + step_RK
            if bounds_2K is not None:
                there_RK = np.clip(there_RK, *bounds_2K)
            there_Rn = residuals(there_RK, rows)
            there_R = _cost(there_Rn, weights_Rn[rows], huber)
            good = there_R <= cost_R[rows] * _SLACK
            still = (there_R >= cost_R[rows]) & (gain_R < _ROUNDING * cost_R[rows])
            done = ~(gain_R > _ENOUGH * cost_R[rows]) | (damping_R[rows] > _STUCK) | still
            better = rows[good]
            z_RK[better], r_Rn[better] = there_RK[good], there_Rn[good]
            cost_R[better] = there_R[good]
            damping_R[rows] *= np.where(good, 0.1, 8.0)
            rows = rows[~done]
    ended_R = np.isfinite(cost_R)
    ended_R[rows] = False
    return Searches(z_RK, cost_R, ended_R)


def complex_derivatives(function: Callable[[Any], Any], z_RK: FloatArray) -> FloatArray:
    """The derivatives (R, …, K) of an analytic function of z (R, K), of each row by itself.

    It is called once, with K·R rows: those of z with a step in the first coefficient, and so on.
    """
    rows, coefficients = z_RK.shape
    steps_KK = 1j * _COMPLEX_STEP * np.eye(coefficients)
    shifted_KRK = z_RK[None] + steps_KK[:, None]
    slopes = np.imag(function(shifted_KRK.reshape(-1, coefficients))) / _COMPLEX_STEP
    slopes = slopes.reshape(coefficients, rows, *slopes.shape[1:])
    return np.ascontiguousarray(np.moveaxis(slopes, 0, -1))


def _cost(r_Rn: FloatArray, weights_Rn: FloatArray, huber: float) -> FloatArray:
    squares_Rn = r_Rn**2
    if huber:
        size_Rn = np.abs(r_Rn)
        squares_Rn = np.where(size_Rn <= huber, squares_Rn, huber * (2 * size_Rn - huber))
    cost_R = np.einsum("rn,rn->r", squares_Rn, weights_Rn)
    return np.where(np.isfinite(cost_R), cost_R, np.inf)


def leaving(z_RK: FloatArray, step_RK: FloatArray, bounds_2K: FloatArray) -> NDArray[np.bool_]:
    """Which coefficients stand at a bound that a step would take them beyond, (R, K)."""
    low_K, high_K = bounds_2K
    beyond_RK: NDArray[np.bool_] = (z_RK <= low_K) & (step_RK < 0)
    beyond_RK |= (z_RK >= high_K) & (step_RK > 0)
    return beyond_RK


def _within(
    z_RK: FloatArray,
    bounds_2K: FloatArray,
    step_RK: FloatArray,
    gain_R: FloatArray,
    at: tuple[FloatArray, FloatArray, FloatArray],
    j_RnK: FloatArray,
    huber: float,
) -> tuple[FloatArray, FloatArray]:
    """The step along the bounds that it would go beyond."""
    for _ in range(z_RK.shape[1]):
        held_RK = leaving(z_RK, step_RK, bounds_2K)
        chosen = np.flatnonzero(held_RK.any(axis=1))
        if not len(chosen):
            break
        j_RnK[chosen] = np.where(held_RK[chosen, None, :], 0.0, j_RnK[chosen])
        r_Rn, weights_Rn, damping_R = (part[chosen] for part in at)
        again = _step(r_Rn, weights_Rn, damping_R, j_RnK[chosen], huber, in_box=True)
        step_RK[chosen], gain_R[chosen] = again
    return step_RK, gain_R


def _step(
    r_Rn: FloatArray,
    weights_Rn: FloatArray,
    damping_R: FloatArray,
    j_RnK: FloatArray,
    huber: float,
    *,
    in_box: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """The damped step of each row, and by how much it should lower the cost.

    Of Huber's loss the residuals within `huber` alone have curvature (Madsen and Nielsen 1990);
    what damps is the matrix of reweighted least squares, which is safe where they are too few.
    """
    pull_Rn, curvature_Rn = weights_Rn * r_Rn, weights_Rn
    if huber:
        size_Rn = np.abs(r_Rn)
        reweighed_Rn = weights_Rn * np.minimum(1.0, huber / np.maximum(size_Rn, 1e-300))
        pull_Rn, curvature_Rn = reweighed_Rn * r_Rn, weights_Rn * (size_Rn <= huber)
    transposed_RKn = np.swapaxes(j_RnK, 1, 2)
    gradient_RK = (transposed_RKn @ pull_Rn[:, :, None])[:, :, 0]
    normal_RKK = (transposed_RKn * curvature_Rn[:, None, :]) @ j_RnK
    safe_RKK = (transposed_RKn * reweighed_Rn[:, None, :]) @ j_RnK if huber else normal_RKK
    scale_RK = np.sqrt(np.einsum("rkk->rk", safe_RKK))
    scale_RK[~(scale_RK > 0)] = 1.0  # a coefficient that nothing depends on stays
    both_RKK = scale_RK[:, :, None] * scale_RK[:, None, :]
    unit_KK = np.eye(j_RnK.shape[-1])
    damper_RKK = safe_RKK / both_RKK if huber else unit_KK
    damped_RKK = normal_RKK / both_RKK + damping_R[:, None, None] * damper_RKK
    damped_RKK[~np.isfinite(damped_RKK)] = 0.0
    right_RK = np.nan_to_num(gradient_RK / scale_RK)
    if in_box and huber:  # a flat coefficient has nothing to damp it by
        damped_RKK += 1e-14 * np.maximum(damping_R, 1.0)[:, None, None] * unit_KK
    step_RK = -np.linalg.solve(damped_RKK + 1e-14 * unit_KK, right_RK[:, :, None])[:, :, 0]
    gain_R = -(step_RK * right_RK).sum(axis=1)
    return step_RK / scale_RK, gain_R
