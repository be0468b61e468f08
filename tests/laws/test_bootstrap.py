"""Many fits at once end where one alone does; Huber's losses shrug at a bad run."""

import sys
from pathlib import Path

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.laws.fit import HUBER
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.laws.search.bootstrap import refits_over_runs
from raydistill.laws.search.problem import prepare

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from law_bootstrap import RUNS, Scipy, refit_points


def test_refits_end_where_scipys_do():
    problem = prepare("chinchilla", refit_points())
    search = problem.minimise(problem.form.starts(problem.inputs, problem.outputs), huber=HUBER)
    best = search.z_RK[np.argmin(search.cost_R)]
    refits = refits_over_runs(problem, best, resamples=20, huber=HUBER)
    assert refits.ended_R.all()
    draws = np.random.default_rng(0).multinomial(RUNS, np.full(RUNS, 1 / RUNS), size=20)
    E, A, B, alpha, beta = problem.form.named(best[None], problem.units)[0]
    start = np.array([np.log(A), np.log(B), np.log(E), alpha, beta])
    scipys = [Scipy(problem).search(start, weights.astype(float)) for weights in draws]
    assert (refits.cost_R <= np.array(scipys) * (1 + 1e-9)).all()


def line_with_a_bad_run():
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    y = 2 * x + 1 + 0.01 * np.random.default_rng(0).standard_normal(12)
    y[5] += 3
    return Points(inputs={"x": x}, outputs=y, names=tuple("abcdefghijkl"))


def test_a_bad_run_moves_hubers_line_less():
    points = line_with_a_bad_run()
    robust = fit("line", points, objective="huber").parameters["slope"]
    assert abs(robust.value - 2) < 0.01
    assert abs(fit("line", points).parameters["slope"].value - 2) > 0.05
    assert robust.low < 2 < robust.high


def test_the_intervals_of_hubers_line_are_the_same_each_time_and_of_predictions_too():
    points = line_with_a_bad_run()
    law, again = (fit("line", points, objective="huber") for _ in range(2))
    assert law == again
    prediction = law.predict({"x": 5.0})
    assert prediction.interval[0] < 11 < prediction.interval[1]
    assert prediction.interval_with_noise[1] > prediction.interval[1]


def test_a_form_with_places_is_fitted_by_squares_alone():
    x = np.geomspace(1, 100, 12)
    points = Points(inputs={"x": x}, outputs=x**-0.1, names=tuple("abcdefghijkl"))
    with pytest.raises(UsageError, match="form 'jump' is fitted by least squares alone"):
        fit("jump", points, objective="huber")
