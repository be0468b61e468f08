"""Fitting a form to points: many starts, intervals, and how well it holds where it was not fitted.

AICc and BIC are of the likelihood with normal noise, n·ln(RSS/n) and a penalty for what is counted:
a form's parameters and the noise. A place that was searched for counts for more than one parameter
(`Form.counted`), since a search over places lowers the sum of squares by more than one of them.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.core.parts import FORM
from raydistill.laws.fit import Estimate, Fit, Row, Starts, Table
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.search.intervals import Optimum, intervals
from raydistill.laws.search.problem import Problem, prepare
from raydistill.laws.search.profile import influences
from raydistill.specs.part_identity import part_identity

Objective = Literal["least-squares", "huber"]
HUBER = 1e-3  # δ of the sum of Huber losses of log residuals (Hoffmann et al. 2022, 3.3)
AGREES = 1e-6  # by this share a start's cost may lie above the best one
_FURTHEST = 40.0  # in logarithms: an end this far away is none


def fit(form_name: str, points: Points, *, objective: Objective = "least-squares") -> Fit:
    """The best fit of a form to points.

    Args:
        form_name: a file of `laws/forms/`, with settings if it has any: `knots+count=2`.
        points: what to fit; they may be in any order and any units.
        objective: the sum of squares, or that of Huber losses (δ 1e-3), which a few bad runs move
            less; of logarithms where the form is one of logarithms.

    Raises:
        UsageError: if there is no such form, or there are too few points for it: what to add.
    """
    problem = prepare(form_name, points)
    start_SK = problem.form.starts(problem.inputs, problem.outputs)
    z_SK, cost_S = problem.minimise(start_SK, huber=HUBER if objective == "huber" else 0.0)
    if not np.isfinite(cost_S).any():
        raise UsageError(f"form {form_name!r}: no search ended; are the inputs the right ones?")
    z_K, cost = z_SK[np.argmin(cost_S)], float(cost_S.min())
    floor = 1e-26 * len(points)  # of squares that are rounding
    agreeing = int(np.count_nonzero(cost_S <= cost * (1 + AGREES) + floor))
    starts = Starts(tried=len(cost_S), agreeing=agreeing)
    return _told(form_name, points, problem, z_K, objective=objective, starts=starts)


@np.errstate(all="ignore")  # what the points do not determine may overflow
def _told(
    form_name: str,
    points: Points,
    problem: Problem,
    z_K: FloatArray,
    *,
    objective: Objective,
    starts: Starts,
) -> Fit:
    form, n = problem.form, len(points)
    residual_n = problem.form.evaluate(z_K[None], problem.inputs)[0] - problem.outputs
    rss, df = float(residual_n @ residual_n), n - form.coefficients
    measured_nn = _measured(points, form.log)
    unit = 1.0 if form.log else problem.units["output"]
    optimum = Optimum(
        z_K=z_K,
        noise=math.sqrt(rss / df),
        df=df,
        measured_nn=None
        if measured_nn is None
        else measured_nn[np.ix_(problem.order, problem.order)] / unit**2,
    )
    return Fit(
        form=form_name,
        version=form.version,
        code=part_identity(FORM, form_name.partition("+")[0]),
        objective=objective,
        parameters=_parameters(problem, optimum),
        covariance=_covariance(problem, optimum),
        coefficients=tuple(z_K.tolist()),
        noise=optimum.noise * unit,
        df=df,
        table=_table(points),
        measured_covariance=() if measured_nn is None else _rows(measured_nn),
        excluded=points.excluded,
        box={
            name: (float(points.inputs[name].min()), float(points.inputs[name].max()))
            for name in form.inputs
        },
        r_squared=1
        - rss / max(float(((problem.outputs - problem.outputs.mean()) ** 2).sum()), 1e-300),
        **_criteria(rss, n, (form.counted or form.coefficients) + 1),
        leave_one_size_out=_leave_one_size_out(problem, z_K, unit),
        condition=_condition(problem, z_K),
        starts=starts,
    )


def _measured(points: Points, log: bool) -> FloatArray | None:
    """The covariance of the responses by resampling, in the order given."""
    if points.samples_RN is None:
        return None
    samples_RN = points.samples_RN[1:]
    covariance_NN: FloatArray = np.cov(np.log(samples_RN) if log else samples_RN, rowvar=False)
    return covariance_NN


def _quantities(problem: Problem) -> Any:
    """The told parameters, those that are positive as logarithms."""
    positive_P = np.array([name in problem.form.positive for name in problem.form.parameters])

    def quantities(z_RK: Any) -> Any:
        named_RP = problem.form.named(z_RK, problem.units)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(positive_P, np.log(np.where(positive_P, named_RP, 1.0)), named_RP)

    return quantities


def _parameters(problem: Problem, optimum: Optimum) -> dict[str, Estimate]:
    estimates = {}
    columns = intervals(problem, optimum, _quantities(problem)).T
    for name, column in zip(problem.form.parameters, columns, strict=True):
        value, low, high = column.tolist()
        none = 0.0 if name in problem.form.positive else -math.inf
        if name in problem.form.positive:
            low = math.exp(low) if value - low < _FURTHEST else none
            high = math.exp(high) if high - value < _FURTHEST else math.inf
            value = math.exp(value)
        if name in problem.form.quotients and not (low > none and high < math.inf):
            low, high = none, math.inf
        estimates[name] = Estimate(value=value, low=low, high=high)
    return estimates


def _covariance(problem: Problem, optimum: Optimum) -> tuple[Row, ...]:
    influence_Pn = influences(
        problem, optimum.z_K, lambda z_RK: problem.form.named(z_RK, problem.units)
    )
    return _rows(optimum.noise**2 * influence_Pn @ influence_Pn.T)


def _condition(problem: Problem, z_K: FloatArray) -> float:
    j_nK = problem.derivatives(z_K[None])[0]
    length_K = np.sqrt((j_nK**2).sum(axis=0))
    if not (length_K > 0).all():
        return math.inf
    return float(np.linalg.cond(j_nK / length_K) ** 2)


def _criteria(rss: float, n: int, counted: int) -> Mapping[str, Any]:
    fit_term = n * math.log(max(rss, 1e-300) / n)
    spare = n - counted - 1
    aicc = fit_term + 2 * counted + 2 * counted * (counted + 1) / spare if spare > 0 else math.inf
    return {"aicc": aicc, "bic": fit_term + counted * math.log(n)}


def _leave_one_size_out(problem: Problem, z_K: FloatArray, unit: float) -> float | None:
    size_n = problem.inputs[problem.form.inputs[0]]
    sizes_G = np.unique(size_n)
    keep_Gn = size_n[None] != sizes_G[:, None]
    fewest = keep_Gn.sum(axis=1).min()
    if len(sizes_G) - 1 < problem.form.least_sizes or fewest < problem.form.coefficients:
        return None
    start_GK = np.repeat(z_K[None], len(sizes_G), axis=0)
    z_GK, _ = problem.minimise(start_GK, weights_Rn=keep_Gn.astype(np.float64))
    error_Gn = problem.form.evaluate(z_GK, problem.inputs) - problem.outputs
    return float(np.sqrt(np.mean(error_Gn[~keep_Gn] ** 2))) * unit


def _table(points: Points) -> Table:
    return Table(
        inputs={name: tuple(column.tolist()) for name, column in points.inputs.items()},
        outputs=tuple(points.outputs.tolist()),
        names=points.names,
        seeds=points.seeds,
    )


def _rows(matrix: FloatArray) -> tuple[Row, ...]:
    return tuple(tuple(row) for row in np.atleast_2d(matrix).tolist())
