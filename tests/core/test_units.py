"""Token counts as people write them."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import (
    B,
    K,
    M,
    format_tokens,
    parse_tokens,
    ratio_drop_pct,
    ratio_rise_pct,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("80B", 80 * B), ("1.5M", 1_500_000), ("300k", 300 * K), ("4096", 4096), (" 0 ", 0)],
)
def test_a_token_count_is_read_as_written(text, tokens):
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("unit", ["K", "M", "B"])
def test_every_decimal_of_a_unit_is_whole(unit):
    size = {"K": K, "M": M, "B": B}[unit]
    for thousandths in range(1, 10_000, 7):
        assert parse_tokens(f"{thousandths / 1000:.3f}{unit}") == thousandths * size // 1000


@pytest.mark.parametrize("text", ["fast", "80 GB", "1e9", "", "0.5", "nan", "1,5B"])
def test_what_is_no_whole_number_of_tokens_is_refused(text):
    with pytest.raises(UsageError, match="token"):
        parse_tokens(text)


@pytest.mark.parametrize("tokens", [0, 1, 999, 1_000, 319_488, 1_500_000, 80 * B, 160 * B])
def test_what_is_written_is_read_back(tokens):
    assert parse_tokens(format_tokens(tokens)) == tokens


def test_drops_are_positive_when_worse():
    assert ratio_drop_pct(0.5, 0.4) == pytest.approx(20)
    assert ratio_rise_pct(10, 12) == pytest.approx(20)
