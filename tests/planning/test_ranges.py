"""Ranges of an axis: what a search draws from them is decided by its seed, and can be written."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.planning.axes.ranges import Range, in_steps, levels_of, stepped
from raydistill.planning.sweep import Sweep
from raydistill.specs.scale import load_scale

SMOKE = load_scale("smoke")
RATES = Range(low=1e-5, high=1e-3, is_log=True)
DECAYS = Range(low=0, high=0.1)


def trial(scale, location):
    return scale.trial(age=80 * B, location=location, count=1) if location != "both" else None


SWEEP = Sweep(
    name="some", question="?", axes={"location": ("input", "both", "output")}, trial=trial
)


def drawn(trials, **chosen):
    ranges = {"lr": RATES, "weight_decay": DECAYS}
    return [dict(cell.values) for cell in SWEEP.drawn_cells(SMOKE, chosen, ranges, trials)]


def test_a_value_is_drawn_between_the_ends_on_its_scale_in_three_digits():
    assert [RATES.at(share) for share in (0, 0.25, 0.5, 1)] == [1e-5, 3.16e-5, 1e-4, 1e-3]
    assert [DECAYS.at(share) for share in (0, 1 / 3, 1)] == [0, 0.0333, 0.1]
    assert Range(low=1, high=9, is_whole=True).at(0.6) == 6
    assert Range(low=0.12345, high=0.2).at(0) == 0.12345  # never beyond an end
    assert {type(RATES.at(1.0)), type(Range(low=1, high=2.0).at(1.0))} == {float, int}


def test_a_range_has_an_order_and_a_logarithm():
    for wrong, message in (
        ({"low": 1, "high": 1}, "range 1..1: write the lower end first"),
        ({"low": 0, "high": 1, "is_log": True}, "range 0..1:log: on a log scale both ends are ab"),
    ):
        with pytest.raises(UsageError, match=message):
            Range(**wrong)


def test_a_step_makes_values_of_a_range():
    assert stepped(1, 8, 3) == (1, 4, 7)
    assert stepped(0.0, 0.3, 0.1) == (0, 0.1, 0.2, 0.3)
    with pytest.raises(UsageError, match=r"range 1\.\.1000000000:1: more than 10,000 values"):
        stepped(1, 1_000_000_000, 1)
    for step in (0, -1, 9):
        with pytest.raises(UsageError, match="a step above 0, up to 8"):
            stepped(1, 8, step)


def test_what_is_drawn_is_a_function_of_seed_and_place():
    five = drawn(5)
    assert drawn(3) == five[:3]
    assert len({cell["lr"] for cell in five}) == len({cell["weight_decay"] for cell in five}) == 5
    assert {cell["location"] for cell in five} == {"input", "output"}  # nothing at `both`
    assert all(1e-5 <= cell["lr"] <= 1e-3 and 0 <= cell["weight_decay"] <= 0.1 for cell in five)
    other = drawn(5, seed=(2,))
    assert not {cell["lr"] for cell in other} & {cell["lr"] for cell in five}


def test_each_drawn_cell_brings_the_control_of_its_own_draw():
    cells = drawn(4, location=("none", "input", "output"))
    assert [cell["location"] == "none" for cell in cells] == 4 * [False] + 4 * [True]
    of_draw = [(cell["lr"], cell["weight_decay"]) for cell in cells]
    assert of_draw[:4] == of_draw[4:]
    two = drawn(2, location=("none", "input", "output"))
    assert all(cell in cells for cell in two)
    assert [cell["location"] for cell in drawn(2, location=("none",))] == ["none", "none"]


def test_whole_numbers_are_drawn_from_a_range_of_whole_ends():
    ranges = {"gap": Range(low=1e9, high=2e9, is_whole=True)}
    ranges |= {"warmup_tokens": Range(low=0, high=2048, is_whole=True)}
    for cell in SWEEP.drawn_cells(SMOKE, {}, ranges, 3):
        assert {type(cell.values[name]) for name in ranges} == {int}
        assert 1e9 <= cell.request.gap <= 2e9
        assert cell.scale.recipe(cell.request).warmup_tokens % 512 == 0
    with pytest.raises(UsageError, match=r"600\.\.700: drawn in multiples of 512, "):
        in_steps({"warmup_tokens": Range(low=600, high=700, is_whole=True)}, SMOKE)


def test_a_drawn_cell_is_that_of_its_values():
    (cell,) = SWEEP.drawn_cells(SMOKE, {"location": ("input",)}, {"lr": RATES}, 1)
    (same,) = SWEEP.cells(SMOKE, {"location": ("input",), "lr": (cell.values["lr"],)})
    assert same.request == cell.request


def test_tpe_has_fewer_levels_of_each_of_several_ranges():
    (one,) = levels_of({"lr": RATES}).values()
    assert (len(one), one[0], one[-1]) == (64, 1e-5, 1e-3)
    assert list(one) == sorted(one)
    assert [len(v) for v in levels_of({"lr": RATES, "weight_decay": DECAYS}).values()] == [24, 24]
    assert {len(v) for v in levels_of({"a": RATES, "b": RATES, "c": RATES}).values()} == {12}
