"""A break is found where there is one, and in 5 % at most of power laws without."""

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.laws.breaks import break_p_value
from raydistill.laws.points import Points

SIZES = np.repeat(1e5 * 2.0 ** np.arange(6), 2)


def runs(law, seed):
    noise = np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(SIZES)))
    names = tuple(f"run-{i:02d}" for i in range(len(SIZES)))
    return Points(inputs={"x": SIZES}, outputs=law * noise, names=names)


POWER = 30 * SIZES**-0.15


def share_found(form, draws):
    return np.mean(
        [break_p_value(runs(POWER, seed), form, seed=seed) < 0.05 for seed in range(draws)]
    )


def test_a_jump_is_found_where_there_is_one():
    broken = np.where(SIZES < 5e5, POWER, 0.9 * POWER)
    assert break_p_value(runs(broken, 0)) < 0.01


def test_a_jump_is_found_in_one_of_twenty_power_laws():
    # 5 % of 400 is 20 in the mean; 33 is what 0.3 % of such tests exceed
    assert share_found("jump", 400) <= 33 / 400


@pytest.mark.soak
@pytest.mark.parametrize("form", ["jump", "knots"])
def test_a_break_is_found_in_one_of_twenty_power_laws(form):
    assert share_found(form, 2000) <= 0.05 + 3 * 0.0049


def test_neither_units_nor_order_of_the_points_matter():
    points = runs(POWER, 5)
    order = np.random.default_rng(0).permutation(len(SIZES))
    other = Points(
        inputs={"x": 1e-6 * SIZES[order]}, outputs=3 * points.outputs[order], names=points.names
    )
    assert break_p_value(other) == pytest.approx(break_p_value(points), abs=1e-3)


def test_a_form_without_a_place_has_no_break():
    with pytest.raises(UsageError, match="form 'power' has no break to look for"):
        break_p_value(runs(POWER, 0), "power")


def test_a_power_law_to_the_digit_has_no_break():
    x = 2.0 ** np.arange(8)
    for outputs in (np.ones(8), 3 * x**-0.1):
        exact = Points(inputs={"x": x}, outputs=outputs, names=tuple("abcdefgh"))
        assert break_p_value(exact) == 1
