"""A fit: a form with its parameters, how sure they are, and the points they came from.

It is plain values, so that it can be a file: nothing in it is typed again anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.points import Exclusion, FloatArray, Points
from raydistill.laws.search.intervals import Optimum, intervals
from raydistill.laws.search.problem import Problem, prepare
from raydistill.laws.search.profile import quantile

Row = tuple[float, ...]
HUBER = 1e-3  # δ of the sum of Huber losses of log residuals (Hoffmann et al. 2022, 3.3)
ILL_CONDITIONED = 1e10  # of the information matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and its 95 % interval; an end that the points do not determine is infinite, or 0."""

    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the interval has both ends."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high) and self.low != 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a law says of one place.

    Attributes:
        value: the estimate.
        interval: where the law itself lies there, at 95 %.
        interval_with_noise: where one further run would lie, at 95 %.
        factor_beyond: how many times outside the range of the points; 1 within it.
    """

    value: float
    interval: tuple[float, float]
    interval_with_noise: tuple[float, float]
    factor_beyond: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Points as plain values."""

    inputs: dict[str, Row]
    outputs: Row
    names: tuple[str, ...]
    seeds: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Starts:
    """How many searches were begun, and how many of them ended in the best optimum.

    A form with places, where every place is tried, has one search.
    """

    tried: int
    agreeing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A form fitted to points.

    Attributes:
        form: its name, with settings.
        version: of the form.
        code: the identity of its file; another one computed something else.
        objective: "least-squares" or "huber".
        parameters: by name, with 95 % intervals.
        covariance: of the parameters, in their order, to first order.
        coefficients: what the form is written in (`laws/form.py`).
        noise: the standard deviation of a point about the law: in proportion for a form of
            logarithms, else in units of the output.
        df: points less coefficients.
        table: the points, in the order they were given.
        measured_covariance: of the points in that order, by `Points.samples_RN`, in the units of
            `noise` squared; empty without.
        excluded: what was left out, and why.
        box: the least and the largest value of each input.
        r_squared: of outputs, or their logarithms. No verdict rests on it.
        aicc: Akaike's criterion, corrected for few points; up to a constant of the points.
        bic: Schwarz's criterion, likewise.
        leave_one_size_out: the root mean square error of each point's prediction by the law fitted
            without its value of the first input, as `noise` is; None where that cannot be fitted.
        condition: of the information matrix, each coefficient in a unit of its own; inf where the
            points do not determine them.
        starts: whether searches agree.
    """

    form: str
    version: int
    code: str
    objective: str
    parameters: dict[str, Estimate]
    covariance: tuple[Row, ...]
    coefficients: Row
    noise: float
    df: int
    table: Table
    measured_covariance: tuple[Row, ...]
    excluded: tuple[Exclusion, ...]
    box: dict[str, tuple[float, float]]
    r_squared: float
    aicc: float
    bic: float
    leave_one_size_out: float | None
    condition: float
    starts: Starts

    @property
    def points(self) -> Points:
        """The points, without their resamples."""
        return Points(
            inputs={name: np.array(row) for name, row in self.table.inputs.items()},
            outputs=np.array(self.table.outputs),
            names=self.table.names,
            seeds=self.table.seeds,
            excluded=self.excluded,
        )

    def values(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """What the law says of many places, (n,), without intervals."""
        problem = self._problem()
        z_1K = np.array([self.coefficients])
        return problem.in_output_units(problem.form.evaluate(z_1K, problem.in_own_units(inputs))[0])

    def predict(self, inputs: Mapping[str, float]) -> Prediction:
        """What the law says of one place, however far outside its points that is.

        `laws/extrapolation.py` says how far a prediction may be used.

        Raises:
            UsageError: if an input is missing or not positive.
        """
        return self.predictions({name: np.array([value]) for name, value in inputs.items()})[0]

    def predictions(self, inputs: Mapping[str, FloatArray]) -> tuple[Prediction, ...]:
        """What the law says of many places, (n,), with intervals: for the band of a curve.

        Raises:
            UsageError: if an input is missing or not positive.
        """
        problem = self._problem()
        at = problem.in_own_units(inputs)

        form, scale, optimum = problem.form, self._unit(problem), self._optimum(problem)
        curve = form.latent or form.evaluate

        def heights(z_RK: Any) -> Any:
            return curve(z_RK, at)

        ends_3Q = intervals(problem, optimum, heights)
        if form.from_latent is not None:
            ends_3Q = form.from_latent(ends_3Q, at)
        value_Q, low_Q, high_Q = ends_3Q
        noise = quantile(self.df) * self.noise / scale
        if form.discrete:  # which gap is the right one moves both
            _, low_noise_Q, high_noise_Q = intervals(problem, optimum, heights, noise=noise)
        else:
            low_noise_Q = value_Q - np.hypot(value_Q - low_Q, noise)
            high_noise_Q = value_Q + np.hypot(high_Q - value_Q, noise)
        ends = (low_Q, high_Q, low_noise_Q, high_noise_Q)
        columns = [problem.in_output_units(end_Q).tolist() for end_Q in (value_Q, *ends)]
        return tuple(
            Prediction(
                value=value,
                interval=(low, high),
                interval_with_noise=(low_noise, high_noise),
                factor_beyond=self.factor_beyond(
                    {name: float(at[i]) for name, at in inputs.items()}
                ),
            )
            for i, (value, low, high, low_noise, high_noise) in enumerate(
                zip(*columns, strict=True)
            )
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before using the law, a sentence each."""
        sentences = []
        (name, (low, high)), *others = self.box.items()
        places = [one for one in self.parameters if one.startswith(("break", "knot_"))]
        for place in places if not others else ():
            value = self.parameters[place].value
            if not low <= value <= high:
                sentences.append(
                    f"{place}, {value:.4g}, lies beyond the points, {name} {low:.4g} to "
                    f"{high:.4g}: what follows it was never seen"
                )
        if self.starts.tried > 1 and self.starts.agreeing == 1:
            sentences.append(
                f"only 1 of {self.starts.tried} searches ended in the best optimum: "
                "there may be a better one"
            )
        if self.condition > ILL_CONDITIONED:
            sentences.append(
                f"the coefficients hang together (condition {self.condition:.1e}): errors of 1e-5 "
                "in the points move them by as much as they are"
            )
        open_ended = [name for name, one in self.parameters.items() if not one.determined]
        if open_ended:
            sentences.append(f"these points do not determine {', '.join(open_ended)}")
        return tuple(sentences)

    def factor_beyond(self, inputs: Mapping[str, float]) -> float:
        """How many times the worst input lies outside the range of the points; 1 within it.

        Raises:
            UsageError: if an input is missing.
        """
        ratios = [1.0]
        for name, (low, high) in self.box.items():
            if name not in inputs:
                raise UsageError(f"the law needs {', '.join(self.box)}: give {name} too")
            ratios += [inputs[name] / high, low / inputs[name]]
        return max(ratios)

    def _problem(self) -> Problem:
        problem = prepare(self.form, self.points)
        if problem.form.version != self.version:
            raise UsageError(
                f"form {self.form!r} is of version {problem.form.version} now, this fit of version "
                f"{self.version}: fit its points anew"
            )
        return problem

    def _optimum(self, problem: Problem) -> Optimum:
        scale = self._unit(problem)
        measured_nn = None
        if self.measured_covariance:
            given_nn = np.array(self.measured_covariance)
            measured_nn = given_nn[np.ix_(problem.order, problem.order)] / scale**2
        return Optimum(
            z_K=np.array(self.coefficients),
            noise=self.noise / scale,
            df=self.df,
            measured_nn=measured_nn,
            huber=HUBER if self.objective == "huber" else 0.0,
        )

    def _unit(self, problem: Problem) -> float:
        return 1.0 if problem.form.log else problem.units["output"]
