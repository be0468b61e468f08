"""`--limit N`: a first look at N items of each task, marked everywhere and never mixed."""

import csv
import io
import json
import re

import pytest

from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.evaluation.scoring import requested_scores
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import all_records
from raydistill.specs.evaluation import EvalSpec, item_limit, plain_task, score_name
from raydistill.storage.store import Store
from support import sweeping, task_samples, trained_here

SWEEP = ("--age", "320B", "--location", "none,input,output")
TASKS = ("--tasks", "word-order,boolq")


@pytest.fixture(scope="module")
def looked(prepared, tmp_path_factory):
    """A storage where a sweep was looked at, and the output of that."""
    folder = tmp_path_factory.mktemp("limit")
    storage = prepared(folder / "storage")
    questions = task_samples.SAMPLES["boolq"] * 4
    (folder / "boolq.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    flags = (*SWEEP, *TASKS, "--task-data", str(folder))
    trained_here.train(storage, *flags, "--limit", "3")
    return storage, flags, sweeping.here("where_to_drop", storage, *flags, "--limit", "3")


def test_names_tell_some_items_from_all():
    names = (score_name("boolq", 3), score_name("cb", 0))
    assert names == ("boolq first 3", "cb")
    assert tuple(map(plain_task, names)) == ("boolq", "cb")
    assert (item_limit(names), item_limit(["cb"]), item_limit([])) == (3, 0, 0)
    spec = EvalSpec(tasks=("cb",), heldout_windows=1, curve_windows=1, limit=2)
    assert requested_scores(spec) == ("perplexity", "cb first 2")


def test_the_first_items_are_scored_and_have_keys_of_their_own(looked):
    storage, flags, done = looked
    assert done.returncode == 0, done.stderr
    scores = {
        path.name: json.loads(path.read_text()) for path in storage.glob("scores/*/boolq-*.json")
    }
    assert {sum(score["counts"]) for score in scores.values()} == {3}
    trained_here.train(storage, *flags)
    both = {path.name for path in storage.glob("scores/*/boolq-*.json")}
    assert len(both) == 2
    assert both > set(scores)
    all_items = [json.loads((path).read_text()) for path in storage.glob("scores/*/boolq-*.json")]
    whole = [score for score in all_items if sum(score["counts"]) > 3]
    assert len(whole) == len(all_items) / 2
    trained_here.train(storage, *flags, "--limit", "3")  # the record that the tests below read


def test_the_plan_says_so(looked):
    _, _, done = looked
    assert "boolq; a first look: 3 items of each" in " ".join(done.stdout.split())


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "latex"])
def test_every_form_of_the_table_is_marked(form, looked):
    storage, _, _ = looked
    text = sweeping.command(storage, "report", "--format", form).stdout
    assert "3 items a task" in text
    table = ("--rows", "location", "--cols", "age", "--metric", "downstream")
    free = sweeping.command(storage, "report", *table, "--format", form).stdout
    assert "3 items a task" in " ".join(free.split())


def test_the_page_and_the_columns_of_a_spreadsheet_are_marked(looked):
    storage, _, _ = looked
    page = (storage / "sweeps/where_to_drop/smoke/report.html").read_text()
    assert "A first look, 3 items a task (--limit)" in page
    rows = list(csv.DictReader(io.StringIO((storage / "report/report.csv").read_text())))
    assert {row["limit"] for row in rows} == {"3 items a task"}
    names = [name for name in rows[0] if name.startswith("task:")]
    assert names
    assert all(re.fullmatch(r"task:[\w-]+ first 3", name) for name in names)


def test_in_mlflow_a_first_look_is_a_run_of_its_own(looked):
    storage, _, _ = looked
    runs = sweeping.cells(storage)
    assert {run.data.params["limit"] for run in runs} == {"3"}
    assert all("task.boolq first 3" in run.data.metrics for run in runs)
    (record,) = all_records(Store(storage))
    tracked = for_tracker(
        read_state(record, Store(storage)), command="", running=False, environment={}, files={}
    )
    assert {cell.values["limit"] for cell in tracked.cells} == {3}
    assert {base.values["limit"] for base in tracked.bases} == {3}


def test_a_model_card_is_marked(looked, tmp_path):
    storage, _, _ = looked
    trial = next(storage.glob("trials/*/trained.json")).parent.name
    done = sweeping.command(storage, "export", trial, "--to", tmp_path / "x", "--no-measure")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "x" / "README.md").read_text()
    assert "| boolq first 3 |" in card


def test_a_limit_is_a_whole_number(looked):
    storage, flags, _ = looked
    done = sweeping.here("where_to_drop", storage, *flags, "--limit", "0")
    assert done.returncode == 2
    assert "--limit '0': a whole number from 1 on" in done.stderr
    above = sweeping.here("where_to_drop", storage, "--tasks", "above-chance", "--limit", "3")
    assert above.returncode == 2
    assert "leave --limit out" in above.stderr
