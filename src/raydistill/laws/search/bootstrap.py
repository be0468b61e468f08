"""Fits to many resamples at once, and the intervals that come of them.

Shapes: R resamples, n points, K coefficients, Q quantities.
"""

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.problem import Problem
from raydistill.laws.search.profile import LEVEL, Quantities
from raydistill.laws.search.solver import Searches, complex_derivatives, leaving

RESAMPLES = 1_000


def refits_over_runs(
    problem: Problem, z_K: FloatArray, *, resamples: int, seed: int = 0, huber: float = 0.0
) -> Searches:
    """Fits to as many runs as there are, drawn with replacement, each searched for from the fit.

    Args:
        problem: with a form without places.
        z_K: the fit to all runs.
        resamples: R.
        seed: of the draws.
        huber: as in `solver.minimise`.
    """
    n = len(problem.outputs)
    rng = np.random.default_rng(seed)
    weights_Rn = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    start_RK = np.repeat(z_K[None], resamples, axis=0)
    return problem.minimise(start_RK, weights_Rn=weights_Rn, huber=huber)


def noise_ends(
    problem: Problem,
    z_K: FloatArray,
    noise: float,
    df: int,
    quantities: Quantities,
    huber: float,
    *,
    open_at_sides: bool = False,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each quantity's value, lower and upper end, (Q,), by fits to points drawn about the law.

    Points are drawn with normal noise as large as their scatter, and each draw's step away from
    the fit is stretched by √(df/χ²), χ² with df degrees of freedom, as a scatter estimated from few
    points asks for (`PairedBootstrap.over_seeds` does so for seeds). A minimum of Huber's losses
    has no profile that a Student's distribution bounds; drawing runs with replacement held the
    truth less often in trials, and in both directions. `open_at_sides` is as in `box_ends`: a draw
    that a side of the form's box stopped went on without end.
    """
    rng = np.random.default_rng(0)
    value_Q = np.asarray(quantities(z_K[None])[0], dtype=np.float64)
    law_n = problem.form.evaluate(z_K[None], problem.inputs)[0]
    drawn_Rn = law_n + noise * rng.standard_normal((RESAMPLES, len(law_n)))
    start_RK = np.repeat(z_K[None], RESAMPLES, axis=0)
    search = problem.minimise(start_RK, outputs_Rn=drawn_Rn, huber=huber)
    step_RQ = quantities(search.z_RK) - value_Q
    step_RQ *= np.sqrt(df / rng.chisquare(df, size=(RESAMPLES, 1)))
    step_RQ = np.nan_to_num(step_RQ, nan=np.inf)
    bounds_2K = problem.form.bounds_2K
    if open_at_sides and bounds_2K is not None and problem.form.is_boxed:
        slope_RQK = complex_derivatives(quantities, search.z_RK)
        for sign in (-1.0, 1.0):
            stopped_RQ = leaving(search.z_RK[:, None], sign * slope_RQK, bounds_2K).any(axis=-1)
            step_RQ[stopped_RQ & (sign * step_RQ >= 0)] = sign * np.inf
    with np.errstate(invalid="ignore"):  # between two draws without end there is none
        low_Q, high_Q = np.quantile(step_RQ, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    low_Q[np.isnan(low_Q)], high_Q[np.isnan(high_Q)] = -np.inf, np.inf
    return value_Q, value_Q + low_Q, value_Q + high_Q
