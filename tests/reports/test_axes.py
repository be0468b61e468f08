"""Axes that flags name, in tables, captions and MLflow: by their names, and numbers in order."""

import shutil

import pytest

from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.tables.custom import TableRequest, custom_tables
from raydistill.reports.tables.table import build_table
from raydistill.tracking.run_content import cell_content
from support.compared import Storage

LATE = ("--age", "320B", "--location", "none,input")
RECIPES = ("--set", "lr=3e-4,1e-3,1e-4", "--set", "weight_decay=0.1,0")


@pytest.fixture
def storage(tmp_path, migrated):
    shutil.copy(migrated, tmp_path)
    return Storage(tmp_path)


def report(storage):
    (report,) = from_store(storage.store, ())
    return report


def test_rows_are_named_by_the_axes_of_their_recipe_in_the_order_of_their_numbers(storage):
    storage.run("where_to_drop", *LATE, *RECIPES)
    (block,) = build_table(report(storage)).blocks
    rates = ("0.0001", "0.0003", "0.001")
    names = [f"lr {lr}, weight_decay {decay}" for lr in rates for decay in ("0", "0.1")]
    assert [row.name for row in block.rows] == [*names, *(f"none, {name}" for name in names)]
    for fixed in ("optimizer lion", "batch_tokens 512", "warmup_tokens 1.024K", "beta1 0.9"):
        assert f", {fixed}, " in block.title


@pytest.mark.parametrize("rate", ["0.0003", "3e-4"])
def test_any_two_axes_are_a_table_and_what_is_fixed_stands_in_its_caption(rate, storage):
    storage.run("where_to_drop", *LATE, *RECIPES)
    ask = TableRequest(rows="lr", cols="weight_decay", where={"location": "input"})
    (table,) = custom_tables([report(storage)], ask)
    assert table.grid.headers == ("lr \\ weight_decay", "0", "0.1")
    assert [row[0] for row in table.grid.rows] == ["0.0001", "0.0003", "0.001"]
    assert ", optimizer lion, " in table.caption
    ask = TableRequest(rows="location", cols="weight_decay", where={"lr": rate})
    (table,) = custom_tables([report(storage)], ask)
    assert ", lr 0.0003, " in table.caption
    assert "peak_lr" not in table.caption


def test_runs_in_which_a_field_was_no_axis_are_rows_of_their_own_value(storage):
    storage.run("where_to_drop", *LATE).run("where_to_drop", *LATE, "--set", "lr=1e-4,3e-4")
    storage.run("where_to_drop", *LATE, "--set", "lr=3e-4")
    (block,) = build_table(report(storage)).blocks
    rows = [row.name for row in block.rows if row.role == "candidate"]
    assert rows == ["lr 0.0001", "lr 0.0003", "lr 0.001"]


def test_settings_of_a_loss_are_axes_by_their_names(storage):
    storage.run("where_to_drop", *LATE, "--loss", "kd+temperature=4,1,2")
    (block,) = build_table(report(storage)).blocks
    rows = [row.name for row in block.rows if row.role == "candidate"]
    assert rows == ["temperature 1", "temperature 2", "temperature 4"]
    assert ", loss kd, " in block.title
    assert len(row_blocks(report(storage).cells)) == 1


def test_mlflow_knows_each_axis_by_its_name(storage):
    storage.run("where_to_drop", *LATE, *RECIPES, "--loss", "kd+temperature=1,2")
    sweep = storage.tracked
    assert sweep.axes == ("age", "location", "lr", "temperature", "weight_decay")
    contents = [cell_content(sweep, cell, "here") for cell in sweep.cells]
    runs = {run.name: run for run in contents}
    run = runs["input age=320B lr=0.0003 temperature=2 weight_decay=0"]
    assert len(runs) == len(contents) == 2 * 3 * 2 * 2
    for held in (run.params, run.tags):
        assert (held["lr"], held["weight_decay"], held["temperature"]) == ("0.0003", "0", "2")
