"""Results as rows: what each column holds, and that the CSV says the same by the same names."""

import csv
import dataclasses
import io
import math

import pytest

from raydistill.reports.formats.csv import to_csv
from raydistill.reports.sweep_report import report_content
from raydistill.reports.trial_rows import trial_rows
from support.reported import DELTA_NLL, FAILURE, LATE, TASKS, cell, sweep, whole_sweep
from support.swept import on_seed, with_axes


@pytest.fixture(scope="module")
def report():
    return whole_sweep()


def row_of(rows, location, age=LATE.age):
    (row,) = [row for row in rows if (row["location"], row["age"]) == (location, age)]
    return row


def test_every_cell_is_a_row_and_all_rows_have_the_same_columns(report):
    rows = trial_rows([report])
    assert len(rows) == len(report.cells)
    assert len({tuple(row) for row in rows}) == 1
    row = row_of(rows, "input")
    assert row["trial_id"] == next(c for c in report.cells if c.location == "input").trial_id
    assert (row["sweep"], row["scale"], row["role"]) == ("where_to_drop", "laptop", "candidate")
    assert (row["layers"], row["count"], row["seed"]) == ("1 2 3 4", 4, 1)
    assert row["status"] == "finished"


def test_what_was_lost_is_beside_what_it_was_lost_from(report):
    row = row_of(trial_rows([report]), "input")
    assert row["nll_nats"] - row["base_nll_nats"] == pytest.approx(row["delta_nll_nats"])
    assert row["delta_nll_nats"] == pytest.approx(DELTA_NLL["input"], abs=0.01)
    assert row["perplexity"] == pytest.approx(math.exp(row["nll_nats"]))
    above_control = row["nll_nats"] - row["control_nll_nats"]
    assert row["delta_nll_nats_vs_control"] == pytest.approx(above_control)
    kept = row["downstream"] / row["base_downstream"]
    assert row["downstream_drop_pct"] == pytest.approx(100 * (1 - kept))
    for name in ("delta_nll_nats", "perplexity_drop_pct", "downstream_drop_pct_vs_control"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    for task in TASKS:
        assert 0 < row[f"task:{task}"] < row[f"base_task:{task}"] < 1
        assert row[f"task_stderr:{task}"] == 0.02


def test_the_csv_says_the_same_by_the_same_names(report):
    """Where both exist; each row is of one seed."""
    lines = csv.DictReader(io.StringIO(to_csv([report_content(report)])))
    rows = trial_rows([report])
    for line in lines:
        row = row_of(rows, line["location"], int(line["age"]))
        without_layers = {"count", "gap_tokens"} if not row["count"] else set()
        names = row.keys() & line.keys() - {"note"} - without_layers
        assert len(names) > 45
        for name in names:
            if row[name] is None or isinstance(row[name], str):
                assert line[name] == (row[name] or ""), name
            else:
                assert float(line[name]) == pytest.approx(row[name], rel=1e-12, abs=1e-12), name


def test_a_failure_is_a_row_with_its_reason(report):
    row = row_of(trial_rows([report]), "both")
    assert (row["status"], row["trial_id"]) == ("failed", FAILURE.trial_id)
    assert row["failure"] == "failed in training after 3 tries: " + FAILURE.message.splitlines()[0]
    assert row["base_perplexity"] > 1
    assert row["delta_nll_nats"] is row["perplexity"] is row["train_tokens"] is None


def test_every_seed_is_a_row_beside_the_control_on_that_seed():
    cells = [on_seed(name, seed) for name in ("none", "input") for seed in (1, 2)]
    rows = trial_rows([sweep(cells)])
    pairs = {(row["seed"], row["control_trial_id"]) for row in rows}
    assert len(rows) == 4
    assert len(pairs) == 2


def test_every_axis_has_a_column_by_its_name():
    cells = [with_axes("input", lr=1e-4, weight_decay=0.1), with_axes("middle", lr=3e-4)]
    one, other = trial_rows([sweep(cells)])
    assert (one["lr"], other["lr"]) == (1e-4, 3e-4)
    assert one["weight_decay"] == cells[0].train.recipe.weight_decay  # as it was run


def test_tokens_are_named_by_whose_they_are():
    noted = dataclasses.replace(
        cell("input"), budget_paper_tokens=20_000_000_000, gap_paper_tokens=0
    )
    one, other = trial_rows([sweep([noted, cell("middle")])])
    assert (one["age_paper_tokens"], one["age_tokens"]) == (LATE.age, LATE.age_tokens)
    assert (one["budget_paper_tokens"], one["budget_tokens"]) == (20_000_000_000, 319_488)
    assert one["train_tokens"] == 319_488
    assert other["budget_paper_tokens"] is None  # an old record does not say


def test_nothing_is_known_of_a_control_that_was_not_trained():
    row = trial_rows([sweep([cell("input")])])[0]
    assert row["control_perplexity"] is row["delta_nll_nats_vs_control"] is None


def test_the_columns_of_several_sweeps_are_those_of_all():
    other = dataclasses.replace(sweep([with_axes("input", arm="kd")]), sweep="when_to_drop")
    rows = trial_rows([sweep([cell("input")]), other])
    assert [row["arm"] for row in rows] == [None, "kd"]
