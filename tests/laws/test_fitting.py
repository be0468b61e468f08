"""Fits: the published line to the digit, textbook intervals, and what is said of too few points."""

import math

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student

from raydistill.core.errors import UsageError
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points


def points_of(x, y, **more):
    return Points(
        inputs={"x": np.asarray(x, float)},
        outputs=np.asarray(y, float),
        names=tuple(f"run-{i}" for i in range(len(x))),
        **more,
    )


def noisy_line(seed=0):
    sizes = np.repeat([100.0, 200.0, 400.0, 800.0], 2)
    noise = 1 + 0.01 * np.random.default_rng(seed).standard_normal(8)
    return points_of(sizes, (2.498 * sizes - 11.498) * noise)


def test_the_published_line_is_found_again_and_predicts():
    sizes = np.array([100.0, 300.0, 1000.0])
    law = fit("line", points_of(sizes, 2.498 * sizes - 11.498))
    assert law.parameters["slope"].value == pytest.approx(2.498, rel=1e-12)
    assert law.parameters["intercept"].value == pytest.approx(-11.498, rel=1e-9)
    ahead = law.predict({"x": 3000.0})
    assert (ahead.value, ahead.factor_beyond) == (pytest.approx(7482.502), 3.0)
    assert law.predict({"x": 100.0}) == law.predict({"x": 100.0})
    assert law.predict({"x": 100.0}).value == pytest.approx(238.302)
    assert law.r_squared == pytest.approx(1)


def test_the_intervals_of_a_line_are_those_of_the_textbook():
    points = noisy_line()
    law, textbook = fit("line", points), linregress(points.inputs["x"], points.outputs)
    t = student.ppf(0.975, 6)
    slope, intercept = law.parameters["slope"], law.parameters["intercept"]
    assert slope.value - slope.low == pytest.approx(t * textbook.stderr, rel=1e-8)
    assert intercept.high - intercept.value == pytest.approx(
        t * textbook.intercept_stderr, rel=1e-8
    )
    assert law.covariance[0][0] == pytest.approx(textbook.stderr**2, rel=1e-9)
    assert law.df == 6
    x = points.inputs["x"]
    share = 1 / 8 + (3000 - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    ahead = law.predict({"x": 3000.0})
    assert ahead.interval[1] - ahead.value == pytest.approx(t * law.noise * math.sqrt(share))
    with_noise = ahead.interval_with_noise[1] - ahead.value
    assert with_noise == pytest.approx(t * law.noise * math.sqrt(1 + share))


def test_a_parabola_has_fiellers_interval_of_its_optimum():
    x = np.repeat(np.geomspace(1, 16, 5), 2)
    y = 3 + 0.05 * np.log(x / 5) ** 2 + 0.01 * np.random.default_rng(0).standard_normal(10)
    law = fit("minimum", points_of(x, y))
    basis = np.stack([np.ones(10), np.log(x), np.log(x) ** 2], axis=1)
    solution, (rss,), *_ = np.linalg.lstsq(basis, y)
    covariance = rss / 7 * np.linalg.inv(basis.T @ basis)
    t2 = student.ppf(0.975, 7) ** 2
    quadratic = (  # b + 2·c·m is 0 at the optimum's logarithm m: |b + 2cm| ≤ t·se(b + 2cm)
        4 * (solution[2] ** 2 - t2 * covariance[2, 2]),
        4 * (solution[1] * solution[2] - t2 * covariance[1, 2]),
        solution[1] ** 2 - t2 * covariance[1, 1],
    )
    low, high = sorted(np.exp(np.roots(quadratic)))
    optimum = law.parameters["optimum"]
    assert (optimum.low, optimum.high) == (pytest.approx(low), pytest.approx(high))
    assert law.parameters["curvature"].value == pytest.approx(solution[2])


def test_an_optimum_that_may_not_be_there_has_no_end():
    x = np.repeat(np.geomspace(1, 16, 5), 2)
    y = 3 - 0.05 * np.log(x) + 0.01 * np.random.default_rng(0).standard_normal(10)
    law = fit("minimum", points_of(x, y))
    assert law.parameters["curvature"].low < 0 < law.parameters["curvature"].high
    optimum = law.parameters["optimum"]
    assert (optimum.low, optimum.high, optimum.determined) == (0, math.inf, False)


@pytest.mark.parametrize("form", ["line", "minimum"])
def test_neither_order_nor_units_of_the_points_matter(form):
    points = noisy_line(3)
    law = fit(form, points)
    order = np.random.default_rng(1).permutation(8)
    other = fit(form, points_of(1e6 * points.inputs["x"][order], 7 * points.outputs[order]))
    for x in (150.0, 3000.0):
        here, there = law.predict({"x": x}), other.predict({"x": 1e6 * x})
        ends = zip(
            (here.value, *here.interval, *here.interval_with_noise),
            (there.value, *there.interval, *there.interval_with_noise),
            strict=True,
        )
        assert all(b == pytest.approx(7 * a, rel=1e-9) for a, b in ends)


def test_the_error_without_a_size_is_of_predictions_of_that_size():
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 8])
    law = fit("line", points_of(x, y))
    errors = []
    for i in range(4):
        rest = np.delete(np.arange(4), i)
        a, b = np.polyfit(x[rest], y[rest], 1)
        errors.append(a * x[i] + b - y[i])
    assert law.leave_one_size_out == pytest.approx(np.sqrt(np.mean(np.square(errors))))


def test_what_all_points_share_widens_the_level_and_not_the_slope():
    points = noisy_line()
    shared = 5 * np.random.default_rng(2).standard_normal(2001)
    shared[0] = 0
    samples = points.outputs + shared[:, None]
    alone = fit("line", points)
    law = fit("line", points_of(points.inputs["x"], points.outputs, samples_RN=samples))
    slope, intercept = law.parameters["slope"], law.parameters["intercept"]
    assert slope.high == pytest.approx(alone.parameters["slope"].high)
    t = student.ppf(0.975, 6)
    width = np.hypot(alone.parameters["intercept"].high - intercept.value, t * shared.std())
    assert intercept.high - intercept.value == pytest.approx(width, rel=0.03)


def test_means_over_two_seeds_have_intervals_of_use():
    """Their resamples have tails without a variance (`PairedBootstrap.over_seeds`)."""
    x, rng = np.array([1.0, 2, 4, 8, 16]), np.random.default_rng(0)
    held, widths = [], []
    for _ in range(60):
        seeds_SN = 0.05 * rng.standard_normal((2, 5))
        half_N = (seeds_SN[0] - seeds_SN[1]) / 2
        steps_R1 = rng.choice([-1.0, 0, 0, 1], (400, 1)) * np.sqrt(2 / rng.chisquare(1, (400, 1)))
        outputs = 2 * x + 1 + seeds_SN.mean(axis=0)
        samples_RN = outputs + np.vstack([np.zeros(5), steps_R1 * half_N])
        slope = fit("line", points_of(x, outputs, samples_RN=samples_RN)).parameters["slope"]
        held.append(slope.low < 2 < slope.high)
        widths.append(slope.high - slope.low)
    assert np.mean(held) > 0.9
    assert np.median(widths) < 0.1


@pytest.mark.parametrize(
    ("form", "x", "words"),
    [
        ("line", [1, 2], "needs 3 points at 2 values of x or more.*add 1 points more"),
        ("line", [2, 2, 2], "add 1 other values of x"),
        ("minimum", [1, 2, 2, 2], "these are 4 at 2: add 1 other values of x"),
        ("line", [-1, 2, 3], "x of run-0 is not above 0"),
        ("lines", [1, 2, 3], "no form 'lines'. Did you mean 'line'"),
        ("line+count=2", [1, 2, 3], "line has no settings"),
    ],
)
def test_points_that_cannot_be_fitted_are_said_with_what_to_add(form, x, words):
    with pytest.raises(UsageError, match=words):
        fit(form, points_of(x, np.arange(len(x)) + 1.0))


def test_an_input_that_the_points_lack_is_named():
    points = Points(inputs={"n": np.ones(3)}, outputs=np.ones(3), names=("a", "b", "c"))
    with pytest.raises(UsageError, match="needs the input 'x'; there are n"):
        fit("line", points)
    with pytest.raises(UsageError, match="give x too"):
        fit("line", noisy_line()).predict({"n": 3.0})
