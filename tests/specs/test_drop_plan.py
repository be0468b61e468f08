"""Which layers leave, in which order, and when."""

from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.specs.drop_plan import plan_drops
from raydistill.specs.trial import DropPlan, Recipe

RECIPE = Recipe(
    peak_lr=1.0,
    budget_tokens=100,
    batch_tokens=10,
    micro_batches=1,
    warmup_tokens=10,
    warm_phase_tokens=20,
)


def schedule(plan):
    return [(drop.at_tokens, drop.layer) for drop in plan.drops]


def test_all_layers_leave_when_the_warm_phase_ends():
    assert schedule(plan_drops((5, 1), recipe=RECIPE)) == [(20, 1), (20, 5)]


def test_a_gap_spaces_them_from_the_lowest_layer_on():
    plan = plan_drops((5, 1, 3), recipe=RECIPE, gap_tokens=30)
    assert schedule(plan) == [(20, 1), (50, 3), (80, 5)]


@pytest.mark.parametrize(
    ("order", "expected"), [("descending", [5, 3, 1]), ("as-listed", [5, 1, 3])]
)
def test_another_order_of_removal_can_be_asked_for(order, expected):
    plan = plan_drops((5, 1, 3), recipe=RECIPE, gap_tokens=30, order=order)
    assert [drop.layer for drop in plan.drops] == expected


@pytest.mark.parametrize("order", ["ascending", "descending", "as-listed"])
def test_without_a_gap_a_plan_is_a_set(order):
    assert plan_drops((5, 1), recipe=RECIPE, order=order) == plan_drops((1, 5), recipe=RECIPE)


def test_without_layers_the_plan_is_empty():
    assert plan_drops((), recipe=RECIPE, gap_tokens=10) == DropPlan()


def test_without_training_all_leave_and_none_is_late():
    untrained = replace(RECIPE, budget_tokens=0, warmup_tokens=0, warm_phase_tokens=0)
    plan = plan_drops((5, 1), recipe=untrained, min_steps_after=5)
    assert schedule(plan) == [(0, 1), (0, 5)]


@pytest.mark.parametrize(("gap_tokens", "steps"), [(40, 2), (30, 4)])
def test_a_plan_may_leave_as_many_steps_as_it_must(gap_tokens, steps):
    plan = plan_drops((5, 1, 3), recipe=RECIPE, gap_tokens=gap_tokens, min_steps_after=steps)
    assert plan.drops[-1].at_tokens == 20 + 2 * gap_tokens
    with pytest.raises(UsageError, match=f"{steps} steps follow .* at least {steps + 1} must"):
        plan_drops((5, 1, 3), recipe=RECIPE, gap_tokens=gap_tokens, min_steps_after=steps + 1)


def test_the_last_layer_leaves_before_the_last_step():
    with pytest.raises(UsageError, match="would keep layers"):
        plan_drops((5, 1), recipe=RECIPE, gap_tokens=100)
    assert schedule(plan_drops((5, 1), recipe=RECIPE, gap_tokens=90)) == [(20, 1), (110, 5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap_tokens": -10}, "negative"),
        ({"gap_tokens": 15}, "whole steps"),
        ({"gap_tokens": 50}, "would keep layers"),
        ({"gap_tokens": 30, "min_steps_after": 5}, "4 steps follow"),
        ({"order": "decending"}, "Did you mean 'descending'"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        plan_drops((5, 1, 3), recipe=RECIPE, **options)
