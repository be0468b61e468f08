"""How many more seeds or documents would tell two rows apart."""

import math

import numpy as np
import pytest

from raydistill.evaluation.bootstrap import Missing, PairedBootstrap
from raydistill.evaluation.statistical_power import (
    DocumentsAreTheLimit,
    SeedsNeeded,
    seeds_to_separate,
)
from support.drawn_documents import QUICK, UNITS, differences, interval, nats


def test_as_many_seeds_as_are_said_to_be_needed_separate_four_times_in_five():
    many = differences(200, mean=0.1, of_seeds=0.1, draw=1)
    needed = seeds_to_separate({seed: QUICK.values(scores) for seed, scores in many.items()})
    assert isinstance(needed, SeedsNeeded)
    separated = [
        interval(differences(needed.seeds, mean=0.1, of_seeds=0.1, draw=draw))[0] > 0
        for draw in range(200)
    ]
    assert 0.7 <= np.mean(separated) <= 0.9


def test_where_documents_are_the_limit_more_of_them_are_asked_for():
    bootstrap = PairedBootstrap(UNITS)
    few = differences(5, mean=0.02, of_documents=0.1, of_seeds=0.01)
    limit = seeds_to_separate({seed: bootstrap.values(scores) for seed, scores in few.items()})
    assert isinstance(limit, DocumentsAreTheLimit)
    expected = (0.1 / math.sqrt(60) * 2.8 / 0.02) ** 2
    assert limit.times == pytest.approx(expected, rel=0.6)  # one draw of 60 documents


ALIKE = ((1, -1, 1, -1), (1, -1, 1, -1), (1, -1, 1, -1))  # what documents do to three seeds
APART = ((1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))  # cancels in the mean of many


def by_seed(measured, documents, size):
    """Differences with a known part of the documents: `size` times a pattern."""
    return {
        seed: mean + size * np.array([0, *pattern])
        for seed, (mean, pattern) in enumerate(zip(measured, documents, strict=True))
    }


@pytest.mark.parametrize(
    ("differences", "answer"),
    [
        # (1.960 + 0.842) · 0.02 is 5.603 times the difference of 0.01; squared, of documents
        (by_seed((0.01, 0.01, 0.01), ALIKE, 0.02), DocumentsAreTheLimit(times=31.3955)),
        # standard deviation 1 over seeds, difference 1: (2.262 + 0.883)/√10 < 1 < 3.195/√9
        (by_seed((0, 1, 2), ALIKE, 0.0), SeedsNeeded(seeds=10)),
        (by_seed((0, 1, 2), APART, 0.5), SeedsNeeded(seeds=10)),
        # and a variance of 0.05 by documents: 2.867 · √(0.05 + 1/15) < 1 < 2.876 · √(0.05 + 1/14)
        (by_seed((0, 1, 2), ALIKE, math.sqrt(0.05)), SeedsNeeded(seeds=15)),
        (by_seed((5, 5, 5.01), ALIKE, 0.0), SeedsNeeded(seeds=2)),
    ],
)
def test_how_much_more_is_needed_by_the_tables_of_students_distribution(differences, answer):
    separation = seeds_to_separate(differences)
    if isinstance(answer, SeedsNeeded):
        assert separation == answer
    else:
        assert separation.times == pytest.approx(answer.times, rel=1e-4)


@pytest.mark.parametrize(
    ("by_seed", "reason"),
    [
        ({1: 0.1}, "one data seed"),
        ({1: 0.1, 2: -0.1}, "no difference"),
        ({1: 0.1, 2: math.nan}, "no"),
    ],
)
def test_what_cannot_say_how_much_more_is_needed_says_why(by_seed, reason):
    bootstrap = PairedBootstrap(UNITS)
    missing = seeds_to_separate({seed: bootstrap.values(nats(d)) for seed, d in by_seed.items()})
    assert isinstance(missing, Missing)
    assert reason in missing.reason
