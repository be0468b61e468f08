"""The nine presets, `none`, random sets, lists and scores, as integers (METHOD, section 3)."""

import itertools
import re

import pytest

from raydistill.core.errors import UsageError
from raydistill.specs.locations import (
    LOCATIONS,
    NONE,
    RANDOM_LOCATIONS,
    every_location,
    is_data_driven,
    is_list,
    label,
    lowest,
    pick,
)

EVERY_SIZE = [(n, k) for n in range(3, 49) for k in range(1, n - 1)]


def layers(location, num_layers, count, **how):
    return sorted(pick(location, num_layers, count, **how))


def mirrored(picks, num_layers):
    return sorted(num_layers - 1 - layer for layer in picks)


def numbers(text):
    return [int(word) for word in text.split()]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("input", "1 2 3 4 5 6 7 8"),
        ("output", "15 16 17 18 19 20 21 22"),
        ("both", "1 2 3 4 19 20 21 22"),
        ("middle", "8 9 10 11 12 13 14 15"),
        ("max-gap", "1 4 7 10 13 16 19 22"),
        ("alt-input", "1 3 5 7 9 11 13 15"),
        ("alt-output", "8 10 12 14 16 18 20 22"),
        ("alt-both", "1 3 5 7 16 18 20 22"),
        ("alt-middle", "4 6 8 10 12 14 16 18"),
    ],
)
def test_eight_of_twenty_four_are_those_of_figure_2(location, expected):
    assert layers(location, 24, 8) == numbers(expected)


@pytest.mark.parametrize("location", ["max-gap", "alt-both"])
def test_twelve_of_twenty_four_leave_alternately(location):
    assert layers(location, 24, 12) == numbers("1 3 5 7 9 11 12 14 16 18 20 22")


def test_max_gap_is_the_only_set_with_three_between_any_two():
    wide = [
        picks
        for picks in itertools.combinations(range(1, 23), 8)
        if all(b - a >= 3 for a, b in itertools.pairwise(picks))
    ]
    assert wide == [tuple(layers("max-gap", 24, 8))]


@pytest.mark.parametrize("location", [*LOCATIONS, *RANDOM_LOCATIONS])
def test_every_preset_gives_distinct_interior_layers_at_every_size(location):
    for n, k in EVERY_SIZE:
        picks = pick(location, n, k)
        assert len(picks) == len(set(picks)) == k, (n, k)
        assert 1 <= min(picks) <= max(picks) <= n - 2, (n, k)


@pytest.mark.parametrize(("one", "other"), [("input", "output"), ("alt-input", "alt-output")])
def test_the_output_side_mirrors_the_input_side(one, other):
    for n, k in EVERY_SIZE:
        assert layers(other, n, k) == mirrored(pick(one, n, k), n), (n, k)


@pytest.mark.parametrize(
    ("location", "is_symmetric"),
    [
        ("both", lambda n, k: k % 2 == 0),
        ("middle", lambda n, k: (n - 2 - k) % 2 == 0),
        ("max-gap", lambda n, k: n % 2 == 1 or k % 2 == 0),
    ],
)
def test_symmetric_locations_are_their_own_mirror(location, is_symmetric):
    for n, k in EVERY_SIZE:
        picks = layers(location, n, k)
        assert not is_symmetric(n, k) or picks == mirrored(picks, n), (n, k)


@pytest.mark.parametrize("location", [*LOCATIONS, "random-2"])
def test_with_ends_allowed_the_rule_sees_one_more_layer_at_each_end(location):
    for n, k in [(4, 3), (12, 4), (24, 8)]:
        wider = layers(location, n + 2, k)
        assert layers(location, n, k, allow_ends=True) == [layer - 1 for layer in wider]


def test_nothing_leaves_at_none():
    assert pick(NONE, 24, 0) == ()


def test_random_sets_are_repeatable_and_differ():
    sets = {pick(f"random-{i}", 24, 8) for i in range(5)}
    assert len(sets) == 5
    assert pick("random-0", 24, 8) == pick("random-0", 24, 8)


def test_a_list_keeps_its_order_and_knows_ranges():
    assert pick("9,1-3", 24, 0) == (9, 1, 2, 3)
    assert pick("0, 23", 24, 0, allow_ends=True) == (0, 23)
    assert is_list("1,2,5-8")
    assert not is_list("alt-input")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0,5", "0 (the first and last stay)"),
        ("22,23", "23 (the first and last stay)"),
        ("3,4,3", "3 (listed twice)"),
        ("30,4", "30 (out of range)"),
        ("-1,4", "-1 (out of range)"),
        ("5-3", "'5-3'"),
        ("1,,2", "''"),
    ],
)
def test_each_layer_that_cannot_leave_is_named(text, named):
    with pytest.raises(UsageError, match=re.escape(named)):
        pick(text, 24, 0)


def test_a_list_of_all_layers_is_refused():
    with pytest.raises(UsageError, match="one stays"):
        pick("0-5", 6, 6, allow_ends=True)


@pytest.mark.parametrize("count", [-1, 0, 23, 24])
def test_a_count_the_model_cannot_give_is_refused(count):
    with pytest.raises(UsageError, match="24 layers; the first and last stay: 1 to 22"):
        pick("input", 24, count)


def test_with_ends_allowed_one_layer_stays():
    assert len(pick("input", 24, 23, allow_ends=True)) == 23
    with pytest.raises(UsageError, match="1 to 23"):
        pick("input", 24, 24, allow_ends=True)


def test_an_unknown_location_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'middle'"):
        pick("midle", 24, 8)


@pytest.mark.parametrize(
    ("location", "num_layers", "count", "expected"),
    [
        ("alt-input", 24, 8, "alt-input"),
        ("alt-input", 24, 11, "alt-input"),
        ("alt-input", 24, 12, "alt-input, 11 of 12 alternate"),
        ("alt-both", 10, 5, "alt-both, 4 of 5 alternate"),
        ("alt-middle", 24, 12, "alt-middle, 11 of 12 alternate"),
        ("input", 24, 12, "input"),
    ],
)
def test_a_filled_location_says_how_many_alternate(location, num_layers, count, expected):
    assert label(location, num_layers, count) == expected


def test_the_lowest_scores_leave_first_and_the_ends_stay():
    scores = [0.0, 0.5, 0.2, 0.2, 0.9, 0.1]
    assert lowest(scores, 3) == (2, 3, 1)
    assert lowest(scores, 2, allow_ends=True) == (0, 5)


def test_a_score_is_a_location():
    assert is_data_driven("block-influence")
    assert "block-influence" in every_location()
    with pytest.raises(UsageError, match="after scoring"):
        pick("block-influence", 24, 8)
