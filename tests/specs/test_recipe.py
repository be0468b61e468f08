"""The fields of a recipe that may be set, and their ranges."""

import re
from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.specs.recipe import check_recipe, check_setting, lr_at, settable, with_settings
from raydistill.specs.trial import Recipe

RECIPE = Recipe(peak_lr=0.1, budget_tokens=640, batch_tokens=64, micro_batches=2, warmup_tokens=64)


def test_every_field_but_the_budget_can_be_set():
    values = {"optimizer": "lion", "schedule": "cosine", "precision": "bfloat16"}
    values |= {"param_dtype": "float32", "activation_checkpointing": "blocks"}
    values |= {"optimizer_offload": "cpu"}
    values |= {"lr": "1e-3", "peak_lr": "1e-3", "grad_clip": "1"}
    settings = {name: values.get(name, "0") for name in settable()}
    changed = with_settings(RECIPE, settings)
    assert changed.precision == "bfloat16"
    assert changed.weight_decay == 0.0
    assert changed.budget_tokens == 640


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": "fast"}, "lr=fast: it must be a number, above 0"),
        ({"warmup_token": "1"}, "Did you mean 'warmup_tokens'"),
        ({"peak_lr": "nan"}, "^peak_lr=nan: it must be a number, above 0 and finite"),
        ({"weight_decay": "1"}, "^weight_decay=1: it must be a number, at least 0 and below 1"),
        (
            {"schedule": "flat"},
            "^schedule=flat: no schedule 'flat'. There are: cosine, inverse-sqrt, wsd",
        ),
        ({"warmup_tokens": "few"}, "^warmup_tokens=few: 'few' is not a token count"),
        ({"budget_tokens": "1"}, "--budget"),
    ],
)
def test_what_is_not_of_its_fields_type_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        with_settings(RECIPE, settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peak_lr": float("nan")}, "peak_lr is nan"),
        ({"peak_lr": float("inf")}, "peak_lr is inf"),
        ({"peak_lr": -1.0}, "above 0"),
        ({"beta1": 1.0}, "below 1"),
        ({"final_lr_ratio": 1.5}, "at most 1"),
        ({"optimizer": "lyon"}, "Did you mean 'lion'"),
        ({"batch_tokens": 72}, "the nearest is 64"),
        ({"budget_tokens": 32}, "budget of 32 tokens is under one batch of 64"),
        ({"param_dtype": "bfloat16"}, "^param_dtype bfloat16 .* add --set precision=bfloat16$"),
        ({"optimizer_offload": "disk"}, "no optimizer_offload 'disk'. There are: cpu, none"),
        ({"warmup_tokens": 65}, "the nearest is 64"),
        ({"warmup_tokens": 704}, "warm-up of 704 tokens is longer than the budget of 640"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        check_recipe(replace(RECIPE, **change), context=16)


def test_devices_share_the_micro_batches_evenly():
    check_recipe(RECIPE, context=16, devices=2)
    with pytest.raises(UsageError, match=r"with batch_tokens 64: .* nearest is 48"):
        check_recipe(RECIPE, context=16, devices=3)


@pytest.mark.parametrize("devices", range(2, 13))
@pytest.mark.parametrize("micro_batches", [1, 2, 64])
def test_what_a_refusal_says_to_write_is_taken(micro_batches, devices):
    recipe = replace(RECIPE, batch_tokens=64 * 16, budget_tokens=10240, warmup_tokens=0)
    recipe = replace(recipe, micro_batches=micro_batches)
    if micro_batches % devices == 0:
        return
    with pytest.raises(UsageError) as refused:
        check_recipe(recipe, context=16, devices=devices)
    (said,) = re.findall(r"micro_batches=(\d+)|$", str(refused.value))[:1]
    assert bool(said) == (64 % devices == 0)
    if said:
        check_recipe(replace(recipe, micro_batches=int(said)), context=16, devices=devices)


def test_a_rate_may_stay_at_its_peak():
    check_recipe(replace(RECIPE, final_lr_ratio=1.0), context=16)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", "0.1"), ("lr", True), ("optimizer", 1), ("warmup_tokens", 0.5)],
)
def test_a_setting_of_another_type_is_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} is {value!r}: it must be"):
        check_setting(name, value)


def test_a_setting_of_its_type_is_kept_as_a_recipe_holds_it():
    assert check_setting("lr", 1) == 1.0
    assert check_setting("optimizer", "adamw") == "adamw"
    assert check_setting("warmup_tokens", 512) == 512


def test_the_inverse_root_falls_from_the_warm_up_on_whatever_the_length():
    recipe = replace(RECIPE, schedule="inverse-sqrt", warmup_tokens=4 * RECIPE.batch_tokens)
    steps = [1, 4, 16, 64]
    rates = [lr_at(recipe, step * recipe.batch_tokens) / recipe.peak_lr for step in steps]
    assert rates == pytest.approx([0.25, 1, 0.5, 0.25])
    longer = replace(recipe, budget_tokens=2 * recipe.budget_tokens)
    assert lr_at(longer, recipe.total_tokens) == lr_at(recipe, recipe.total_tokens)
    unwarmed = replace(recipe, warmup_tokens=0)
    assert lr_at(unwarmed, 4 * recipe.batch_tokens) == recipe.peak_lr / 2
