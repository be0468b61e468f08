"""Is there a break at all, or one power law? A test that knows that its place was searched for.

Neither a criterion nor a ratio of likelihoods at a place that was chosen says so: over many places
one fits better by chance. Where there is no break and noise is normal in logarithms, how much the
best place lowers the sum of squares depends on the places alone (Andrews 1993), so its distribution
is drawn, and the test is exact for any number of points.
"""

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.search.problem import Problem, prepare

DRAWS = 1_999
ROUNDING = 1e-24  # of squares


def break_p_value(points: Points, form_name: str = "jump", *, seed: int = 0) -> float:
    """How often one power law would look at least as broken, in [1/2,000, 1].

    Args:
        points: with the input `x`.
        form_name: of the break: `jump`, `knots`, or another form with places, of logarithms.
        seed: of the draws.

    Raises:
        UsageError: if the form has no places, or there are too few points for it.
    """
    problem = prepare(form_name, points)
    if not problem.form.places or not problem.form.log:
        raise UsageError(
            f"form {form_name!r} has no break to look for: 'jump' and 'knots' have one"
        )
    log_x = np.log(problem.inputs["x"])
    drawn_nR = np.random.default_rng(seed).standard_normal((len(log_x), DRAWS))
    outputs_nR = np.column_stack([problem.outputs, drawn_nR])
    line_n2 = np.stack([np.ones_like(log_x), log_x], axis=1)
    left_R = _squares_left([line_n2], outputs_nR)
    off_n = problem.outputs - line_n2 @ np.linalg.lstsq(line_n2, problem.outputs)[0]
    if off_n @ off_n <= ROUNDING * (1 + (problem.outputs**2).sum()):
        return 1.0  # one power law to the digit
    lowered_R = _squares_left(_bases(problem), outputs_nR) / left_R
    as_broken = np.count_nonzero(lowered_R[1:] <= lowered_R[0])
    return float((1 + as_broken) / (1 + DRAWS))


def _bases(problem: Problem) -> FloatArray:
    """For each place that is tried, (S, n, L): what the form is a sum of, given the place."""
    straight_n = np.log(problem.inputs["x"])  # not the outputs, which some places are chosen by
    start_SK = problem.form.starts(problem.inputs, straight_n)
    grid_SK = np.unique(start_SK[:, -problem.form.places :], axis=0)
    z_SK = np.zeros((len(grid_SK), problem.form.coefficients))
    z_SK[:, -problem.form.places :] = grid_SK
    return problem.derivatives(z_SK)[:, :, : -problem.form.places]


def _squares_left(bases: FloatArray | list[FloatArray], outputs_nR: FloatArray) -> FloatArray:
    """The sums of squares (R,) that the best of the bases leaves of each column."""
    kept_R = np.zeros(outputs_nR.shape[1])
    for basis_nL in bases:
        orthonormal_nL, _ = np.linalg.qr(basis_nL)
        kept_R = np.maximum(kept_R, ((orthonormal_nL.T @ outputs_nR) ** 2).sum(axis=0))
    left_R: FloatArray = np.maximum((outputs_nR**2).sum(axis=0) - kept_R, 0.0)
    return left_R
