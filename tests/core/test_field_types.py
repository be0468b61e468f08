"""Fields of another type than theirs are refused, wherever a sweep's author may write them."""

import dataclasses
import math

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.field_types import check_fields
from raydistill.core.serialization import from_json, to_json
from raydistill.planning.cell import settle
from raydistill.planning.search_settings import SearchSettings
from raydistill.planning.sweep import Sweep
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import Recipe, TrialRequest

SMOKE = load_scale("smoke")
REQUEST = SMOKE.trial(age=SMOKE.ages[-1], location="input", count=2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", "3", "TrialRequest.count is '3', of type str: it takes a whole number"),
        ("count", True, "TrialRequest.count is True, of type bool: it takes a whole number"),
        ("count", 2.0, "TrialRequest.count is 2.0, of type float: it takes a whole number"),
        ("budget", 1e9, "of type float: it takes a whole number"),
        ("seed", "1", "it takes a whole number"),
        ("age", None, "of type NoneType: it takes a whole number or text"),
        ("location", 3, "TrialRequest.location is 3, of type int: it takes text"),
        ("allow_ends", 1, "TrialRequest.allow_ends is 1, of type int: it takes True or False"),
        ("peak_lr", math.nan, "is nan, not a number: it takes a number or 'scale' or 'probe'"),
        ("peak_lr", "fast", "is 'fast', of type str: it takes a number or 'scale' or 'probe'"),
    ],
)
def test_a_request_of_another_type_is_refused(field, value, message):
    with pytest.raises(UsageError) as refusal:
        settle(dataclasses.replace(REQUEST, **{field: value}), SMOKE, count_given=False)
    assert message in str(refusal.value)


def test_whole_numbers_are_numbers():
    check_fields(dataclasses.replace(REQUEST, peak_lr=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": "3"},
        {"ages": list(SMOKE.ages)},
        {"heal": dataclasses.replace(SMOKE.heal, peak_lr="1e-3")},
        {"pretrain": dataclasses.replace(SMOKE.pretrain, beta1=math.nan)},
        {"evaluation": dataclasses.replace(SMOKE.evaluation, heldout_windows=True)},
    ],
)
def test_a_scale_of_another_type_is_refused(changes):
    with pytest.raises(UsageError, match="it takes"):
        dataclasses.replace(SMOKE, **changes)


def test_settings_of_a_search_and_values_of_an_axis_are_checked():
    with pytest.raises(UsageError, match=r"SearchSettings\.trials is '5'"):
        SearchSettings(trials="5")
    for value in (None, math.nan, (1, 2)):
        with pytest.raises(UsageError, match="axis 'count' has the value"):
            Sweep(
                name="counts", question="?", axes={"count": (2, value)},
                trial=lambda scale, count: REQUEST,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [('"batch_tokens": 64', '"batch_tokens": "64"'), ('"beta1": 0.9', '"beta1": true')],
)
def test_text_is_no_number_in_a_file_either(old, new):
    recipe = Recipe(
        peak_lr=1, budget_tokens=128, batch_tokens=64, micro_batches=1, warmup_tokens=0
    )  # fmt: skip
    text = to_json(recipe)
    assert from_json(Recipe, text) == recipe
    with pytest.raises(ValueError, match="valid"):
        from_json(Recipe, text.replace(old, new))


def test_a_request_comes_back_from_json():
    assert from_json(TrialRequest, to_json(REQUEST)) == REQUEST
