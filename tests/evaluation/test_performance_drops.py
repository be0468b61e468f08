"""Drops against a reference, from the paper's numbers and on made-up documents."""

import math

import pytest

from raydistill.evaluation.bootstrap import DocumentScores, Estimate, Missing, PairedBootstrap
from raydistill.evaluation.performance_drops import (
    above_chance,
    downstream_drop_pct,
    drops,
    perplexity_drop_pct,
    scored_everywhere,
    tasks_averaged,
)
from raydistill.reports.results.paper_numbers import TABLE_3
from raydistill.specs.results import UnitScores
from support.drawn_documents import UNITS, documents, nats, noisy, scores_of


@pytest.mark.parametrize(
    ("model", "method", "downstream", "perplexity"),
    [
        ("300M-320B", "teacher-free", 5.41, 58.8),
        ("300M-320B", "kd", 8.44, 73.5),
        ("1.1B-160B", "teacher-free", 8.35, 33.0),
        ("1.1B-160B", "kd", 7.31, 41.5),
    ],
)
def test_the_drops_of_table_3_follow_from_its_13_tasks(model, method, downstream, perplexity):
    before, after = (
        next(line for line in TABLE_3 if (line.model, line.method) == (model, name))
        for name in ("base", method)
    )
    measured = downstream_drop_pct(scores_of(before.tasks), scores_of(after.tasks))
    assert round(measured, 2) == downstream
    grown = perplexity_drop_pct(math.log(before.perplexity), math.log(after.perplexity))
    assert round(grown, 1) == perplexity


def test_a_drop_is_not_taken_over_different_tasks():
    with pytest.raises(ValueError, match="not the same tasks"):
        downstream_drop_pct(scores_of([0.5, 0.5]), scores_of([0.5]))


def test_the_interval_holds_the_value_and_shrinks_with_what_is_shared():
    base, cell = documents(noisy(1, 3.0)), documents(noisy(1, 3.0) + 0.2)
    bootstrap = PairedBootstrap.over([base, cell])
    lost = drops({1: base}, {1: cell}, chance={"continuation": 0.25}, bootstrap=bootstrap)
    assert lost.delta_nll.value == pytest.approx(0.2)
    assert lost.delta_nll.low == pytest.approx(0.2)
    assert lost.delta_nll.high == pytest.approx(0.2)
    assert lost.perplexity_drop_pct.value == pytest.approx(100 * math.expm1(0.2))
    assert lost.downstream_drop_pct == Estimate(value=0.0, low=0.0, high=0.0)


def test_chance_corrected_retention_is_what_is_left_above_guessing():
    base, cell = documents(3.0, right=(7.5,) * 60), documents(3.0, right=(5.0,) * 60)
    bootstrap = PairedBootstrap.over([base, cell])
    lost = drops({1: base}, {1: cell}, chance={"continuation": 0.25}, bootstrap=bootstrap)
    assert lost.retention.value == pytest.approx(0.5)
    assert lost.downstream_drop_pct.value == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("before", "after", "where", "reason"),
    [
        (documents(3.0, right=(0,) * 60), documents(3.0), "downstream_drop_pct", "accuracy 0"),
        (documents(3.0, right=(2,) * 60), documents(3.0), "retention", "not above chance"),
        (documents(3.0), documents(math.nan), "delta_nll", "not a number"),
        (documents(3.0), documents(math.inf), "perplexity_drop_pct", "not a number"),
        (
            documents(3.0),
            DocumentScores(nll=nats(3.0, units=UNITS[:59]), tasks={}),
            "delta_nll",
            "the same held-out text",
        ),
        (
            documents(3.0),
            DocumentScores(nll=nats(3.0), tasks={}),
            "downstream_drop_pct",
            "no mean over fewer tasks",
        ),
        (documents(3.0), documents(3.0, counts=(9,) * 60), "downstream_drop_pct", "same items"),
    ],
)
def test_what_cannot_be_said_is_missing_with_its_reason(before, after, where, reason):
    bootstrap = PairedBootstrap.over([before, after])
    lost = drops({1: before}, {1: after}, chance={"continuation": 0.25}, bootstrap=bootstrap)
    entry = getattr(lost, where)
    assert isinstance(entry, Missing)
    assert reason in entry.reason


def test_a_task_is_above_chance_only_if_every_base_is():
    young = scores_of([0.30, 0.60], stderr=0.03, chance=0.25)
    late = scores_of([0.60, 0.70], stderr=0.03, chance=0.25)
    assert above_chance([late]) == ("0", "1")
    assert above_chance([young, late]) == ("1",)
    assert above_chance([]) == ()


def test_above_chance_is_more_than_two_standard_errors():
    level = scores_of([0.5, 0.5001], stderr=0.125, chance=0.25)
    assert above_chance([level]) == ("1",)


def test_means_are_over_tasks_above_chance_or_else_over_all_that_every_base_has():
    two, three = (scores_of([0.3] * count, stderr=0.1, chance=0.25) for count in (2, 3))
    assert scored_everywhere([three, two]) == ("0", "1")
    assert tasks_averaged(iter([three, two])) == ("0", "1")
    sure = scores_of([0.3, 0.9, 0.9], stderr=0.1, chance=0.25)
    assert tasks_averaged(iter([sure, sure])) == ("1", "2")


def f1(counts, units=UNITS):
    """F1 counts answers, so that equal items may have other counts."""
    task = UnitScores(units=units, sums=(2.0,) * len(units), counts=counts, counts_vary=True)
    return DocumentScores(nll=nats(3.0), tasks={"mrpc": task})


@pytest.mark.parametrize(
    ("after", "is_compared"),
    [
        (f1((5,) * 60), True),
        (f1((4,) * 60, UNITS[::-1]), True),
        (f1((4,) * 59, UNITS[:59]), False),
    ],
)
def test_f1_is_compared_on_the_same_documents(after, is_compared):
    before = f1((4,) * 60)
    bootstrap = PairedBootstrap.over([before, after])
    lost = drops({1: before}, {1: after}, chance={"mrpc": 0.0}, bootstrap=bootstrap)
    assert isinstance(lost.downstream_drop_pct, Estimate) == is_compared


def test_without_tasks_nothing_is_said_of_them():
    scores = documents(3.0)
    lost = drops({1: scores}, {1: scores}, chance={}, bootstrap=PairedBootstrap.over([scores]))
    assert lost.downstream_drop_pct == lost.retention == Missing(reason="no tasks were scored")


def test_a_reference_at_zero_cannot_drop():
    with pytest.raises(ValueError, match="is 0"):
        downstream_drop_pct(scores_of([0.0]), scores_of([0.5]))
