"""A front is told from other laws of one input, and by which rule its FLOPs are counted."""

import pytest

from raydistill.laws.reduced_scale.kept_front import RULES, rule_of
from support.kept_front import BASES, front_fit


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_that_by_which_its_bases_have_those_flops(rule):
    assert rule_of(front_fit(rule)) == rule


@pytest.mark.parametrize(
    "names",
    [
        [f"line {n}" for n in range(len(BASES))],
        ["gpt@512K", *BASES[1:]],
        ["reduced@3K", *BASES[1:]],
        [*BASES[1:], BASES[0]],  # the FLOPs of others
    ],
)
def test_a_law_of_other_points_is_no_front(names):
    assert rule_of(front_fit("honey", names)) is None
