"""Fitting a form to points: many starts, intervals, and how well it holds where it was not fitted.

AICc and BIC are of the likelihood with normal noise, n·ln(RSS/n) and a penalty for what is counted,
a form's coefficients and the noise. A knot counts for two, a jump for three; since a place that was
searched for lowers the sum of squares by more than that, no verdict on breaks rests on them alone
(`laws/breaks.py`).
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.core.parts import FORM
from raydistill.laws.fit import HUBER, Estimate, Fit, Row, Starts, Table
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.search.intervals import Optimum, intervals
from raydistill.laws.search.problem import Problem, prepare
from raydistill.laws.search.profile import influences
from raydistill.specs.part_identity import part_identity

Objective = Literal["least-squares", "huber"]
AGREES = 1e-6  # by this share a start's cost may lie above the best one
_GROUPS = 30  # at most, of sizes that are left out in turn
_PLACES = 60  # the best ones, which are tried again without a size
_FURTHEST = 40.0  # in logarithms: an end this far away is none


def fit(form_name: str, points: Points, *, objective: Objective = "least-squares") -> Fit:
    """The best fit of a form to points.

    Args:
        form_name: a file of `laws/forms/`, with settings if it has any: `knots+count=2`.
        points: what to fit; they may be in any order and any units.
        objective: the sum of squares, or that of Huber losses, which a few bad runs move less; of
            logarithms where the form is one of logarithms. δ is 1e-3, in units of the outputs' root
            mean square where it is not.

    Raises:
        UsageError: if there is no such form, or there are too few points for it: what to add.
    """
    problem = prepare(form_name, points)
    if objective == "huber" and problem.form.places:
        raise UsageError(f"form {form_name!r} is fitted by least squares alone, not by {objective}")
    z_SK, cost_S = _searches(problem, objective)
    if not np.isfinite(cost_S).any():
        raise UsageError(f"form {form_name!r}: no search ended; are the inputs the right ones?")
    starts = Starts(tried=len(cost_S), agreeing=_agreeing(cost_S, len(points)))
    if problem.form.places:  # every place is a start, and one is the best
        starts = Starts(tried=1, agreeing=1)
    best_K = z_SK[np.argmin(cost_S)]
    if problem.form.bounds_2K is not None:  # further out no profile would see it move
        best_K = np.clip(best_K, *problem.form.bounds_2K)
    return _told(form_name, points, problem, best_K, objective=objective, starts=starts)


def _agreeing(cost_S: FloatArray, n: int) -> int:
    """How many searches ended in the best optimum; squares that are rounding are alike."""
    return int(np.count_nonzero(cost_S <= cost_S.min() * (1 + AGREES) + 1e-26 * n))


def _searches(problem: Problem, objective: Objective) -> tuple[FloatArray, FloatArray]:
    """Where each search ended, (S, K), and its cost (S,).

    Where hardly two agree, the valley is narrow: the best starts are searched from with patience.
    """
    start_SK = problem.form.starts(problem.inputs, problem.outputs)
    if objective == "huber":
        return problem.minimise(start_SK, huber=HUBER)[:2]
    z_SK, cost_S, _ = problem.minimise(start_SK)
    agreeing = _agreeing(cost_S, len(problem.outputs))
    is_alone = len(start_SK) == 1 or problem.form.is_boxed  # MINPACK's search knows no box
    if problem.form.places or is_alone or agreeing > 1:
        return z_SK, cost_S
    patient = [problem.minimise_alone(z_K) for z_K in (z_SK[np.argmin(cost_S)], *start_SK[:3])]
    return np.stack([z_K for z_K, _ in patient]), np.array([cost for _, cost in patient])


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
    rss = float(residual_n @ residual_n)
    df = n - form.coefficients + (form.places if form.discrete else 0)  # a jump's is known
    measured_nn = _measured(points, form.log)
    unit = 1.0 if form.log else problem.units["output"]
    optimum = Optimum(
        z_K=z_K,
        noise=math.sqrt(rss / df),
        huber=HUBER if objective == "huber" else 0.0,
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
        **_criteria(rss, problem),
        leave_one_size_out=_leave_one_size_out(problem, optimum, unit),
        condition=_condition(problem, z_K),
        starts=starts,
    )


def _measured(points: Points, log: bool) -> FloatArray | None:
    """The covariance of the responses by resampling, in the order given.

    Means over two seeds are resampled with tails that have no variance, so a resample further out
    than 97.5 % of them counts as one there: its ends at 95 % are then about those of the tails.
    """
    if points.samples_RN is None:
        return None
    samples_RN = np.log(points.samples_RN) if log else points.samples_RN
    away_RN = samples_RN[1:] - samples_RN[0]
    far_R = np.sqrt((away_RN**2).sum(axis=1))
    away_RN *= np.minimum(1.0, np.quantile(far_R, 0.975) / np.maximum(far_R, 1e-300))[:, None]
    covariance_NN: FloatArray = away_RN.T @ away_RN / len(away_RN)
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
    columns = intervals(problem, optimum, _quantities(problem), open_at_sides=True).T
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
    """That of the information matrix, given the places."""
    j_nK = problem.derivatives(z_K[None])[0][:, : len(z_K) - problem.form.places]
    length_K = np.sqrt((j_nK**2).sum(axis=0))
    if not (length_K > 0).all():
        return math.inf
    return float(np.linalg.cond(j_nK / length_K) ** 2)


def _criteria(rss: float, problem: Problem) -> Mapping[str, Any]:
    """AICc and BIC of the outputs themselves, in units of their geometric mean.

    So those of forms with noise in proportion and without can be compared.
    """
    n, counted = len(problem.outputs), problem.form.coefficients + 1
    scale = 1.0
    if not problem.form.log and (problem.outputs > 0).all():
        scale = float(np.exp(np.mean(np.log(problem.outputs))))
    fit_term = n * math.log(max(rss / scale**2, 1e-300) / n)
    spare = n - counted - 1
    aicc = fit_term + 2 * counted + 2 * counted * (counted + 1) / spare if spare > 0 else math.inf
    return {"aicc": aicc, "bic": fit_term + counted * math.log(n)}


def _leave_one_size_out(problem: Problem, optimum: Optimum, unit: float) -> float | None:
    """The error of each point where its size was left out; of many sizes, its neighbours too."""
    size_n = problem.inputs[problem.form.inputs[0]]
    groups = np.array_split(np.unique(size_n), _GROUPS)
    keep_Gn = np.stack([~np.isin(size_n, group) for group in groups if len(group)])
    sizes = min(len(np.unique(size_n[keep])) for keep in keep_Gn)
    if sizes < problem.form.least_sizes or keep_Gn.sum(axis=1).min() < problem.form.coefficients:
        return None
    start_SK = optimum.z_K[None]
    if problem.form.places:
        start_SK = problem.form.starts(problem.inputs, problem.outputs)
        off_Sn = problem.form.evaluate(start_SK, problem.inputs) - problem.outputs
        start_SK = start_SK[np.argsort((off_Sn**2).sum(axis=1), kind="stable")[:_PLACES]]
    searches = problem.minimise(
        np.tile(start_SK, (len(keep_Gn), 1)),
        weights_Rn=np.repeat(keep_Gn, len(start_SK), axis=0).astype(np.float64),
        huber=optimum.huber,
    )
    best_G = searches.cost_R.reshape(len(keep_Gn), -1).argmin(axis=1)
    z_GK = searches.z_RK[np.arange(len(keep_Gn)) * len(start_SK) + best_G]
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
