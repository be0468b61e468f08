"""Intervals and the best set, on made-up documents."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.outcomes import Scores, TaskScore, UnitScores
from raydistill.report.tasks import above_chance, constant_answers
from raydistill.statistics import (
    MIN_DOCUMENTS,
    DocumentScores,
    PairedBootstrap,
    half,
    holm_rejected,
    kendall_tau,
    not_distinguishable_from_best,
)

UNITS = tuple(f"GEN {chapter}" for chapter in range(60))


def scores_of(task_values, nll=0.0, stderr=0.0, chance=0.0):
    tasks = {
        str(task): TaskScore(value=value, stderr=stderr, chance=chance)
        for task, value in enumerate(task_values)
    }
    return Scores(weights_sha256="0" * 64, nll=nll, tasks=tasks)


def nats(per_token, units=UNITS, tokens=100):
    """Held-out nats with the given mean in each document."""
    sums = tuple(float(value) * tokens for value in np.broadcast_to(per_token, len(units)))
    return UnitScores(units=units, sums=sums, counts=(tokens,) * len(units))


def documents(per_token, right=(5,) * 60, counts=(10,) * 60):
    task = UnitScores(units=UNITS, sums=tuple(map(float, right)), counts=tuple(counts))
    return DocumentScores(nll=nats(per_token), tasks={"continuation": task})


def noisy(seed, mean, spread=0.1):
    return mean + spread * np.random.default_rng(seed).standard_normal(len(UNITS))


def test_the_interval_agrees_with_the_standard_error_of_a_mean():
    per_document = noisy(7, 3.0, spread=0.5)
    bootstrap = PairedBootstrap(UNITS)
    drawn = bootstrap.values(nats(per_document))[1:]
    assert drawn.std() == pytest.approx(per_document.std() / math.sqrt(len(UNITS)), rel=0.05)


def test_a_document_without_items_counts_nothing():
    task = UnitScores(units=UNITS[:30], sums=(1.0,) * 30, counts=(2,) * 30)
    bootstrap = PairedBootstrap(UNITS)
    assert bootstrap.values(task)[0] == task.value
    assert np.all(bootstrap.values(task) == 0.5)


def test_resampling_does_not_depend_on_the_order_of_the_documents():
    one, other = PairedBootstrap(UNITS), PairedBootstrap(UNITS[::-1])
    np.testing.assert_array_equal(
        one.values(nats(noisy(3, 3.0))), other.values(nats(noisy(3, 3.0)))
    )


def best_set(cells, documents=60):
    bootstrap = PairedBootstrap(UNITS)
    losses = {name: bootstrap.values(nats(cell)) for name, cell in cells.items()}
    return not_distinguishable_from_best(losses, documents=documents)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    means=st.lists(st.floats(2.9, 3.1), min_size=1, max_size=5),
    copies=st.integers(2, 3),
)
def test_identical_cells_are_never_separated(seed, means, copies):
    cells = {
        f"{index}.{copy}": noisy(seed + index, mean)
        for index, mean in enumerate(means)
        for copy in range(copies)
    }
    inside = {name.split(".")[0] for name in best_set(cells)}
    assert best_set(cells) == {name for name in cells if name.split(".")[0] in inside}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations("abcde"))
def test_the_order_of_the_cells_does_not_matter(seed, order):
    cells = {name: noisy(seed + ord(name), 3 + 0.01 * ord(name)) for name in "abcde"}
    assert best_set(cells) == best_set({name: cells[name] for name in order})


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_clearly_worse_cell_is_outside_and_the_best_inside(seed):
    cells = {"good": noisy(seed, 3.0), "same": noisy(seed, 3.0), "worse": noisy(seed + 1, 3.3)}
    assert best_set(cells) == {"good", "same"}


def test_equally_good_cells_are_seldom_separated():
    separated = [
        len(best_set({str(cell): noisy(100 * draw + cell, 3.0) for cell in range(2)})) < 2
        for draw in range(100)
    ]
    assert sum(separated) <= 12  # 5 are expected; 12 or more happen once in 200 times


def test_few_documents_tell_nobody_apart():
    cells = {"good": noisy(0, 3.0), "worse": noisy(0, 9.0)}
    assert best_set(cells, documents=MIN_DOCUMENTS - 1) == set(cells)


def test_a_cell_without_a_finite_loss_is_no_candidate():
    assert best_set({"good": noisy(0, 3.0), "broken": np.full(60, np.nan)}) == {"good"}
    assert best_set({"broken": np.full(60, np.nan)}) == frozenset()


def test_holm_stops_at_the_first_that_it_keeps():
    assert holm_rejected({"a": 0.001, "b": 0.03, "c": 0.03}) == {"a"}
    assert holm_rejected({}) == frozenset()


def test_the_halves_split_the_documents_and_do_not_depend_on_the_score():
    scores = nats(noisy(0, 3.0))
    selection, report = half(scores, "selection", UNITS), half(scores, "report", UNITS)
    assert sorted(selection.units + report.units) == sorted(UNITS)
    assert len(selection.units) == len(report.units) == 30
    turned = half(nats(1.0, units=UNITS[::-1]), "selection", UNITS[::-1])
    assert turned.units == selection.units[::-1]


def test_a_score_that_lacks_documents_is_split_as_the_others_are():
    task = nats(1.0, units=UNITS[:9])
    selection = set(half(nats(1.0), "selection", UNITS).units)
    assert set(half(task, "selection", UNITS).units) == selection & set(UNITS[:9])


@given(units=st.sets(st.text(), min_size=2, max_size=9))
def test_neither_half_is_empty_from_two_documents_on(units):
    scores = nats(3.0, units=tuple(units))
    sizes = [len(half(scores, which, units).units) for which in ("selection", "report")]
    assert min(sizes) >= 1
    assert sizes[0] - sizes[1] in (0, 1)


def test_a_task_is_above_chance_only_if_every_base_is():
    young = scores_of([0.30, 0.60], stderr=0.03, chance=0.25)
    late = scores_of([0.60, 0.70], stderr=0.03, chance=0.25)
    assert above_chance([late]) == ("0", "1")
    assert above_chance([young, late]) == ("1",)


def test_the_same_right_answers_everywhere_look_constant():
    assert constant_answers([documents(3.0), documents(3.5), documents(4.0)]) == ("continuation",)
    moving = documents(3.0, right=(4,) * 60)
    assert constant_answers([documents(3.0), documents(3.5), moving]) == ()


def test_rank_agreement_knows_ties():
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))
    assert math.isnan(kendall_tau([1, 1], [1, 2]))
