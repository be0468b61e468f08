"""Every form: planted parameters come back, and neither units nor order of the points matter."""

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.core.parts import FORM, part_names
from raydistill.laws.fitting import fit
from raydistill.laws.form import load_form
from raydistill.laws.points import Points

SIZES = np.geomspace(2.0, 500.0, 14)


def chinchilla(params, tokens, E=1.8169, A=482.0, B=2085.0, alpha=0.3478, beta=0.3659):
    return E + A * params**-alpha + B * tokens**-beta


def broken(x, a=0.5, b=3.0, c0=0.05, c1=2.0, place=40.0, sharpness=0.2):
    return a + b * x**-c0 * (1 + (x / place) ** (1 / sharpness)) ** (-c1 * sharpness)


def surface():
    params, tokens = np.meshgrid(np.geomspace(5e7, 1e10, 4), np.geomspace(1e9, 4e11, 4))
    return {"params": params.ravel(), "tokens": tokens.ravel()}


def kinked(x, *knots):
    bends = [np.maximum(np.log(x / knot), 0) for knot in knots]
    return 5 * x**-0.1 * np.exp(-0.2 * bends[0] + 0.15 * sum(bends[1:]))


PLANTED = {  # form: inputs, outputs, parameters; a place is only as fine as a grid
    "line": ({"x": SIZES}, 2.5 * SIZES - 1, (2.5, -1)),
    "minimum": ({"x": SIZES}, 2 + 0.1 * np.log(SIZES / 30) ** 2, (30, 2, 0.1)),
    "power": ({"x": SIZES}, 7 * SIZES**-0.3, (7, -0.3)),
    "jump": (
        {"x": SIZES},
        np.where(SIZES < 20, 7 * SIZES**-0.1, 5 * SIZES**-0.2),
        (7, -0.1, 5, -0.2, pytest.approx(20, rel=0.24)),
    ),
    "knots": ({"x": SIZES}, kinked(SIZES, 20), (5, -0.1, -0.3, 20)),
    "knots+count=2": ({"x": SIZES}, kinked(SIZES, 10, 80), (5, -0.1, -0.3, -0.15, 10, 80)),
    "chinchilla": (surface(), chinchilla(**surface()), (1.8169, 482.0, 2085.0, 0.3478, 0.3659)),
    "smooth-break": ({"x": SIZES}, broken(SIZES), (0.5, 3, 0.05, 2, 40, 0.2)),
}


def points_of(inputs, outputs):
    return Points(
        inputs=inputs, outputs=outputs, names=tuple(f"run-{i}" for i in range(len(outputs)))
    )


@pytest.mark.parametrize("form", PLANTED)
def test_planted_parameters_come_back(form):
    inputs, outputs, planted = PLANTED[form]
    law = fit(form, points_of(inputs, outputs))
    accuracy = 2e-3 if form.startswith("knots") else 1e-6
    for estimate, value in zip(law.parameters.values(), planted, strict=True):
        assert estimate.value == (
            value if not isinstance(value, float | int) else pytest.approx(value, rel=accuracy)
        )
    assert law.values(inputs) == pytest.approx(outputs, rel=2e-3)
    assert law.factor_beyond({name: 2 * column.max() for name, column in inputs.items()}) == 2


@pytest.mark.parametrize("form", PLANTED)
def test_units_and_order_change_nothing_but_the_unit(form):
    inputs, outputs, _ = PLANTED[form]
    noisy = outputs * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(outputs)))
    place = {name: float(np.quantile(column, 0.3)) for name, column in inputs.items()}
    order = np.random.default_rng(1).permutation(len(outputs))
    elsewhere = {name: 1e6 * column[order] for name, column in inputs.items()}
    here = fit(form, points_of(inputs, noisy)).predict(place)
    there = fit(form, points_of(elsewhere, 7 * noisy[order])).predict(
        {name: 1e6 * value for name, value in place.items()}
    )
    assert there.value == pytest.approx(7 * here.value, rel=1e-9)
    for name in ("interval", "interval_with_noise"):
        expected = [7 * end for end in getattr(here, name)]
        assert getattr(there, name) == pytest.approx(expected, rel=1e-9)


def test_every_shipped_form_is_among_these():
    assert set(part_names(FORM)) - {"capacity-gap", "distillation"} <= PLANTED.keys()


def test_settings_are_part_of_a_forms_name():
    assert load_form("knots+count=3").parameters[-3:] == ("knot_1", "knot_2", "knot_3")
    for name, words in (
        ("knots+count=4", "count is 1, 2 or 3"),
        ("knots+counts=2", "no setting 'counts'. Did you mean 'count'"),
        ("knots+count=two", "write knots.setting=NUMBER, not 'count=two'"),
    ):
        with pytest.raises(UsageError, match=words):
            load_form(name)
