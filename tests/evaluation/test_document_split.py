"""Held-out documents in two halves, whatever the score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.evaluation.document_split import half
from raydistill.specs.results import UnitScores
from support.drawn_documents import UNITS, nats, noisy


def test_the_halves_split_the_documents_and_do_not_depend_on_the_score():
    scores = nats(noisy(0, 3.0))
    selection, report = half(scores, "selection", UNITS), half(scores, "report", UNITS)
    assert sorted(selection.units + report.units) == sorted(UNITS)
    assert len(selection.units) == len(report.units) == 30
    turned = half(nats(1.0, units=UNITS[::-1]), "selection", UNITS[::-1])
    assert turned.units == selection.units[::-1]


def test_a_half_is_the_scores_of_its_documents_and_all_else_stays():
    """By `sha256sum` they stand c (2e7d…), b (3e23…), a (ca97…), and are dealt in turn."""
    scores = UnitScores(
        units=("a", "b", "c"), sums=(1.0, 2.0, 4.0), counts=(10, 20, 40), chance=0.25
    )
    assert half(scores, "selection", "abc") == UnitScores(
        units=("a", "c"), sums=(1.0, 4.0), counts=(10, 40), chance=0.25
    )
    assert half(scores, "report", "abc") == UnitScores(
        units=("b",), sums=(2.0,), counts=(20,), chance=0.25
    )


def test_items_of_one_document_are_in_one_half():
    twice = nats(1.0, units=("q0", "q0", "q1", "q1", "q2", "q2"))
    selection, report = (half(twice, which, UNITS).units for which in ("selection", "report"))
    assert sorted(selection + report) == sorted(twice.units)


def test_a_score_that_lacks_documents_is_split_as_the_others_are():
    task = nats(1.0, units=UNITS[:9])
    selection = set(half(nats(1.0), "selection", UNITS).units)
    assert set(half(task, "selection", UNITS).units) == selection & set(UNITS[:9])


@pytest.mark.parametrize(("which", "size"), [("selection", 5), ("report", 4)])
def test_a_task_with_items_of_its_own_is_split_by_itself(which, size):
    own = nats(1.0, units=tuple(f"q{n}" for n in range(9)))
    assert len(half(own, which, UNITS).units) == size
    other = half(own, "report" if which == "selection" else "selection", UNITS)
    assert set(half(own, which, UNITS).units).isdisjoint(other.units)


@given(units=st.sets(st.text(), min_size=2, max_size=9))
def test_neither_half_is_empty_from_two_documents_on(units):
    scores = nats(3.0, units=tuple(units))
    sizes = [len(half(scores, which, units).units) for which in ("selection", "report")]
    assert min(sizes) >= 1
    assert sizes[0] - sizes[1] in (0, 1)
