"""How well two rankings agree."""

import math

import pytest

from raydistill.evaluation.rank_agreement import kendall_tau


def test_rank_agreement_knows_ties():
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))
    assert math.isnan(kendall_tau([1, 1], [1, 2]))
