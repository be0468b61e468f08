"""A scale's name says how long and at which rate its bases are pretrained."""

from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import K, M
from raydistill.specs.scale import load_scale


def test_a_longer_run_keeps_the_scales_ages_and_doublings_of_the_last():
    long, own = load_scale("reduced+tokens=3M"), load_scale("reduced")
    assert long.name == "reduced+tokens=3M"
    assert long.ages == (*own.ages, 1024 * K, 2048 * K, 3 * M)
    assert long.age_tokens(3 * M) == long.pretrain.total_tokens
    share = long.pretrain.warmup_tokens / long.pretrain.total_tokens
    assert share == pytest.approx(own.pretrain.warmup_tokens / own.pretrain.total_tokens, rel=0.01)
    recipe = own.pretrain
    recipe = replace(
        long.pretrain, budget_tokens=recipe.budget_tokens, warmup_tokens=recipe.warmup_tokens
    )
    assert replace(long, name=own.name, ages=own.ages, pretrain=recipe) == own


def test_a_shorter_run_ends_at_its_own_age():
    assert load_scale("reduced+tokens=100K").ages == (32 * K, 64 * K, 100 * K)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("reduced+width=64+tokens=8000K+lr=2e-3", "reduced+lr=0.002+tokens=8M+width=64"),
        ("reduced+tokens=512K+lr=0.006", "reduced"),
        ("reduced+schedule=cosine", "reduced+schedule=cosine"),
        ("reduced+schedule=inverse-sqrt+lr=1e-3", "reduced+lr=0.001"),
        ("smoke-reduced+tokens=320B+width=8", "smoke_reduced+width=8"),
    ],
)
def test_the_name_is_canonical(name, canonical):
    assert load_scale(name).name == canonical
    assert load_scale(canonical) == load_scale(name)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tokens=-5", "must be at least 1"),
        ("tokens=5", "no whole step"),
        ("tokens=many", "is not a token count"),
        ("schedule=none", "no schedule 'none'"),
        ("lr=0", "lr=0: it must be"),
        ("lr=1e-3+lr=2e-3", "each setting once"),
        ("tokens", "each setting once"),
    ],
)
def test_what_no_run_can_have_is_refused(word, message):
    with pytest.raises(UsageError, match=message):
        load_scale(f"reduced+{word}")
