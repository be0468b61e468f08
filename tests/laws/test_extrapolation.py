"""How far a law is used beyond its points, and what is said then."""

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.laws.extrapolation import alternative_fits, predict
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points

SIZES = np.repeat([3e6, 6e6, 12e6, 24e6, 48e6], 2)


@pytest.fixture(scope="module")
def law():
    noise = np.exp(0.05 * np.random.default_rng(1).standard_normal(len(SIZES)))
    names = tuple(f"run-{i}" for i in range(len(SIZES)))
    return fit(
        "line", Points(inputs={"x": SIZES}, outputs=(2.5 * SIZES + 1e6) * noise, names=names)
    )


def test_within_the_points_nothing_is_said(law):
    result = predict(law, {"x": 2e7})
    assert (result.notice, result.forms) == ("", ("line",))
    assert result.prediction == law.predict({"x": 2e7})


def test_up_to_three_times_beyond_there_is_a_notice(law):
    result = predict(law, {"x": 1e6})
    assert result.notice == "3× beyond the points (x 3M to 48M)"
    assert result.prediction == law.predict({"x": 1e6})


def test_up_to_thirty_times_the_interval_is_that_of_every_form_within_ten_in_bic(law):
    others = alternative_fits(law)
    assert "power" in {other.form for other in others}
    place = {"x": 4.8e8}
    result = predict(law, place, alternatives=others)
    near = [one for one in others if one.bic <= law.bic + 10]
    assert result.forms == ("line", *(one.form for one in near))
    assert "power" in result.forms
    ends = [one.predict(dict.fromkeys(one.box, 4.8e8)).interval for one in (law, *near)]
    assert result.prediction.interval == (min(e[0] for e in ends), max(e[1] for e in ends))
    assert result.prediction.value == law.predict(place).value
    alone = predict(law, place, alternatives=())
    assert "(no other form)" in alone.notice


def test_of_one_input_any_form_of_one_input_is_an_alternative(law):
    points = Points(
        inputs={"student_params": SIZES}, outputs=law.points.outputs, names=law.table.names
    )
    gap = fit("capacity-gap", points)
    result = predict(gap, {"student_params": 4.8e8})
    assert {"line", "power"} < set(result.forms)
    assert result.prediction.interval[1] >= law.predict({"x": 4.8e8}).interval[1]


def test_further_than_that_only_who_asks_gets_a_number(law):
    with pytest.raises(UsageError, match=r"62.5× beyond the points .* up to 30×.*--far"):
        predict(law, {"x": 3e9})
    assert predict(law, {"x": 3e9}, far=True, alternatives=()).prediction.factor_beyond == 62.5


def test_forms_of_proportional_and_of_plain_noise_are_compared_fairly():
    x = np.geomspace(1, 100, 40)
    rng = np.random.default_rng(0)
    points = {
        "power": 3 * x**0.9 * np.exp(0.1 * rng.standard_normal(40)),
        "line": 3 * x + 5 + rng.standard_normal(40),
    }
    for better, outputs in points.items():
        names = tuple(map(str, range(40)))
        given = Points(inputs={"x": x}, outputs=outputs, names=names)
        bic = {form: fit(form, given).bic for form in points}
        assert min(bic, key=bic.get) == better


def test_three_points_do_not_speak_against_other_forms():
    points = Points(
        inputs={"student_params": np.array([1e8, 2e8, 3e8])},
        outputs=np.array([2e8, 4.3e8, 6.1e8]),
        names=("a", "b", "c"),
    )
    answer = predict(fit("capacity-gap", points), {"student_params": 5e9})
    assert "too few to compare forms" in answer.notice
