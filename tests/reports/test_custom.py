"""Tables by rows and columns of the user's choice."""

import dataclasses
import math
from statistics import fmean

import pytest

from raydistill.core.errors import UsageError
from raydistill.reports.tables.custom import TableRequest, custom_tables
from support.reported import FAILURE, LATE, TRAIN, YOUNG, cell, sweep, whole_sweep
from support.swept import counted


def test_a_table_of_one_s_own_has_its_rows_columns_and_sentence():
    (table,) = custom_tables([counted()], TableRequest(rows="count", cols="age"))
    assert table.grid.headers == ("count \\ age", "80B", "320B")
    assert [row[0] for row in table.grid.rows] == ["2", "4", "8"]
    assert " ± " in table.grid.rows[0][1]
    assert "location input" in table.caption
    assert "training noise not included" in table.caption


def scores_of_two_layers(start, location="alt-middle"):
    """Of `counted`, as its documents have them: perplexity, and by task."""
    split = cell(location, start).outcome.documents
    return math.exp(split.nll.value), {name: task.value for name, task in split.tasks.items()}


@pytest.mark.parametrize("metric", ["perplexity", "task:last-word", "train_s"])
def test_a_measurement_stands_in_its_cells_as_it_is(metric):
    (table,) = custom_tables([counted()], TableRequest(rows="count", cols="age", metric=metric))
    shown = []
    for start in (YOUNG, LATE):
        perplexity, tasks = scores_of_two_layers(start)
        by_metric = {"perplexity": perplexity, "task:last-word": tasks["last-word"], "train_s": 40}
        shown.append(f"{by_metric[metric]:.4g}")
    assert table.grid.rows[0] == ("2", *shown)


def test_a_loss_stands_in_its_cells_with_half_of_its_interval():
    metric = "downstream_drop_pct_vs_control"
    (table,) = custom_tables([counted()], TableRequest(rows="count", cols="age", metric=metric))
    for start, shown in zip((YOUNG, LATE), table.grid.rows[0][1:], strict=True):
        mean, of_control = (
            fmean(scores_of_two_layers(start, location)[1].values())
            for location in ("alt-middle", "none")
        )
        value, half = shown.split(" ± ")
        assert value == f"{100 * (1 - mean / of_control):+.1f}"
        assert 0 < float(half) < float(value)


def test_budgets_are_never_mixed_in_a_table():
    longer = dataclasses.replace(TRAIN.recipe, budget_tokens=1_200_128)
    late = dataclasses.replace(TRAIN, recipe=longer)
    report = sweep([cell("input"), cell("middle"), cell("input", train=late)])
    tables = custom_tables([report], TableRequest(rows="location", cols="age"))
    assert [len(table.grid.rows) for table in tables] == [2, 1]
    assert "budget 319.488K" in tables[0].caption
    assert "budget 1.2M" in tables[1].caption


def test_what_is_missing_in_a_table_is_a_dash_with_its_reason():
    report = sweep([cell("input"), cell("middle", outcome=FAILURE)])
    (table,) = custom_tables([report], TableRequest(rows="location", cols="age"))
    assert ("middle", "–") in table.grid.rows
    assert "– failed in training after 3 tries" in table.caption


def test_seeds_may_have_a_table_each():
    second = dataclasses.replace(TRAIN, seed=2)
    report = sweep([cell("input"), cell("input", train=second)])
    one, two = custom_tables([report], TableRequest(rows="location", cols="age", seeds="each"))
    assert "Over data seed 1" in one.caption
    assert "Over data seed 2" in two.caption


def test_a_caption_says_where_cells_have_other_data_seeds():
    second = dataclasses.replace(TRAIN, seed=2)
    report = sweep([cell("input"), cell("input", train=second), cell("middle")])
    (table,) = custom_tables([report], TableRequest(rows="location", cols="age"))
    assert (
        "Mean over each cell's own data seeds (1 and 2 in 1 and 1 in 1 of 2 cells; of one seed, "
        "training noise is not included); half"
    ) in table.caption


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": "locatoin", "cols": "age"}, "Did you mean 'location'"),
        ({"rows": "location", "cols": "age", "metric": "delta_nl"}, "Did you mean 'delta_nll'"),
        ({"rows": "location", "cols": "age", "where": {"age": "7B"}}, "no cell has"),
        ({"rows": "location", "cols": "location"}, "both location: name two fields"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_the_nearest(fields, message):
    with pytest.raises(UsageError, match=message):
        custom_tables([whole_sweep()], TableRequest(**fields))
