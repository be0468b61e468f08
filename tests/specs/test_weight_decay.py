"""What weight decay does to a base, and when that is told."""

import math
from dataclasses import replace

import pytest

from raydistill.specs.recipe import decay_at_peak, decay_warning, kept_by_decay, lr_at
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import Recipe

LION = Recipe(
    peak_lr=0.001,
    budget_tokens=1_000,
    batch_tokens=1,
    micro_batches=1,
    warmup_tokens=100,
    weight_decay=1e-4,
)
ADAMW = replace(LION, optimizer="adamw")


@pytest.mark.parametrize("recipe", [LION, ADAMW, replace(LION, schedule="wsd", weight_decay=0.02)])
def test_what_decay_leaves_is_the_product_over_all_steps(recipe):
    peak = decay_at_peak(recipe)
    steps = range(1, recipe.total_tokens + 1)
    exact = math.prod(1 - peak * lr_at(recipe, t) / recipe.peak_lr for t in steps)
    assert kept_by_decay(recipe) == pytest.approx(exact, rel=0.01)


def test_a_tenth_is_little_with_adamw_and_all_with_lion():
    assert decay_warning([replace(ADAMW, weight_decay=0.1), LION]) == ""
    assert decay_warning([replace(LION, weight_decay=0.1)]) == (
        "weight_decay 0.1 of lion takes 10 % of every weight matrix a step, and by itself leaves "
        "under 0.1 % of the base after 1,000 steps; lion decays by weight_decay a step at the "
        "peak, adamw by lr · weight_decay"
    )


def test_little_a_step_is_told_once_it_takes_the_base_away():
    """0.565 of the peak on average over these steps: below 1/e after 1,770 at a thousandth each."""
    longer = replace(LION, weight_decay=1e-3, warmup_tokens=0)
    assert decay_warning([replace(longer, budget_tokens=1_500)]) == ""
    text = decay_warning([replace(longer, budget_tokens=2_500), LION])
    assert text.startswith("weight_decay 0.001 of lion takes 0.1 % of every weight matrix a step")
    assert text.endswith("by itself leaves 25 % of the base after 2,500 steps")


def test_the_strongest_of_several_recipes_is_told():
    several = [replace(LION, weight_decay=decay) for decay in (0.02, 0.3, 0.02, 1e-4)]
    assert "weight_decay 0.3 of lion takes 30 %" in decay_warning(several)
    assert "after 1,000 steps (and 1 more);" in decay_warning(several)


@pytest.mark.parametrize("name", ["smoke", "laptop", "paper_300m", "paper_1b"])
def test_the_recipes_of_the_scales_are_within_the_range(name):
    assert decay_warning([load_scale(name).heal]) == ""


def test_what_is_not_trained_loses_nothing():
    still = replace(LION, weight_decay=0.5, budget_tokens=0, warmup_tokens=0)
    assert decay_warning([still]) == ""
