"""`docs/results.md` names every column, metric, parameter and tag, and no other; its code runs."""

import csv
import dataclasses
import io
import itertools
import re
import shutil
from pathlib import Path

import pytest

from raydistill.api import results
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import all_records
from raydistill.reports.formats.all_formats import texts
from raydistill.reports.formats.csv import to_csv
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.sweep_report import report_content
from raydistill.specs.results import TaskScore, Truncation, UnitScores
from raydistill.storage.store import Store
from raydistill.tracking.destination import default_uri
from raydistill.tracking.sync import sync_sweep
from support import old_storage
from support.reported import LATE as LATE_BASE
from support.reported import scored, sweep
from support.shape_sweep import SCALES, shape_bases, shape_report
from support.swept import gapped
from support.tracked_runs import deliver, runs_of
from support.tracked_samples import LATE, cell, fourteen_cells, measured, partial, sweep_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text()


@pytest.fixture(scope="module")
def storage(tmp_path_factory, migrated):
    """Two sweeps of another version, which MLflow has by now."""
    folder = tmp_path_factory.mktemp("storage")
    old_storage.unpack(folder)
    shutil.copy(migrated, folder / "mlflow.db")
    store = Store(folder)
    for record in all_records(store):
        tracked = for_tracker(
            read_state(record, store), command="python x.py", running=False,
            environment={"git_commit": "8240918", "git_dirty": "false", "version_torch": "2.13.0"},
            files={},
        )  # fmt: skip
        sync_sweep(tracked, uri=default_uri(store), store=store)
    return folder


def expanded(name):
    """`a{,_b}` as `a`, `a_b`."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return {"".join(letters) for letters in itertools.product(*parts)}


def names_in(cell_text):
    return set().union(*(expanded(name) for name in re.findall(r"`([^`]+)`", cell_text)))


def tables():
    """The tables of the page, each as its lines of cells, by its first heading."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        lines = [
            [part.strip() for part in line.strip("|").split(" | ")] for line in block.split("\n")
        ]
        found.setdefault(lines[0][0].strip("| "), lines[2:-1])
    return found


def documented(heading, source=""):
    lines = tables()[heading]
    return set().union(*(names_in(line[0]) for line in lines if source in line[1]))


AXES = {"arm", "order"}
PATTERNS = {
    **dict.fromkeys(("continuation", "last-word", "word-order"), "TASK"), "book-kind": "PROBE",
}  # fmt: skip


def patterns(names, join):
    """The names with AXIS, TASK and PROBE for those of the samples."""
    return {
        "AXIS" if name in AXES else join.join(PATTERNS.get(p, p) for p in name.split(join))
        for name in names
    }


def test_every_column_of_the_api_is_documented(storage):
    names = patterns(results(storage, form="records")[0], ":")
    assert names == documented("column", "API")


def test_every_column_of_the_csv_is_documented(storage):
    task = TaskScore(
        value=0.5, stderr=0.02, chance=0.25,
        truncation=Truncation(max_length=64, items=9, truncated=1),
    )  # fmt: skip
    cut = scored("input", LATE_BASE.scores.nll)
    after = cut.outcome.result.after
    after = dataclasses.replace(
        after, tasks={**cut.outcome.result.after.tasks, "continuation": task}
    )
    result = dataclasses.replace(cut.outcome.result, after=after)
    cut = dataclasses.replace(cut, outcome=dataclasses.replace(cut.outcome, result=result))
    reports = [*from_store(Store(storage), ()), sweep([cut]), gapped()]
    header = next(csv.reader(io.StringIO(to_csv([report_content(each) for each in reports]))))
    assert patterns(header, ":") | {"limit"} == documented("column", "CSV")


def test_every_column_of_the_csv_of_shapes_is_documented():
    shapes = report_content(shape_report(shape_bases(names=SCALES[:1])))
    header = next(csv.reader(io.StringIO(texts([shapes])["reduced-scale.csv"])))
    assert set(header) == set().union(*(names_in(line[0]) for line in tables()["of a point"]))


def in_mlflow(storage, tmp_path, migrated):
    """Every run that tests deliver."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    task = TaskScore(
        value=0.5, stderr=0.02, chance=0.25, beside=(("OTHER", 0.4),),
        truncation=Truncation(max_length=64, items=9, truncated=1),
    )  # fmt: skip
    outcome = measured(LATE, "input")
    sides = {
        side: dataclasses.replace(
            getattr(outcome.result, side), general_nll=4.0, tasks={"continuation": task}
        )
        for side in ("before", "after")
    }
    cost = dataclasses.replace(outcome.result.trained.cost, held_bytes=1, expected_bytes=2)
    trained = dataclasses.replace(outcome.result.trained, cost=cost)
    result = dataclasses.replace(outcome.result, trained=trained, **sides)
    outcome = dataclasses.replace(outcome, result=result)
    values = {"order": "descending", "limit": 9, "budget": 5}
    rich = cell(LATE, "input", outcome, sides["after"])
    less = {"activation_checkpointing": "blocks", "optimizer_offload": "cpu"}
    recipe = dataclasses.replace(rich.spec.train.recipe, **less, param_dtype="bfloat16")
    train = dataclasses.replace(rich.spec.train, recipe=recipe)
    spec = dataclasses.replace(rich.spec, train=train)
    rich = dataclasses.replace(rich, values={**rich.values, **values}, spec=spec)
    deliver(
        Store(tmp_path), dataclasses.replace(fourteen_cells(), axes=("age", "location", "order"))
    )
    more = sweep_of(rich, axes=("age", "location", "order"))
    tuned = UnitScores(units=("GEN 1",), sums=(3.0,), counts=(5,))
    probes = {f"book-kind {start} 1": tuned for start in ("pretrained", "fresh")}
    bases = tuple(dataclasses.replace(base, probes=probes) for base in more.bases)
    deliver(Store(tmp_path), dataclasses.replace(more, bases=bases))
    from_old = [
        run
        for record in all_records(Store(storage))
        for run in runs_of(Store(storage), experiment=f"raydistill/{record.name}")
    ]
    return [*from_old, *runs_of(Store(tmp_path))]


def test_every_metric_parameter_and_tag_of_mlflow_is_documented(storage, tmp_path, migrated):
    runs = in_mlflow(storage, tmp_path, migrated)
    metrics = {name for run in runs for name in run.data.metrics}
    params = {name for run in runs for name in run.data.params}
    tags = {name for run in runs for name in run.data.tags}
    own = {name for name in tags if not name.startswith("mlflow.") or "raydistill" in name}
    own = {re.sub("^version_.*", "version_PACKAGE", name) for name in own}
    assert patterns(metrics, ".") == documented("metric")
    assert patterns(params, ".") == documented("parameter")
    assert patterns(own, ".") == documented("tag")


def code_blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_notebook_runs(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    code = code_blocks()[0].replace("~/.raydistill", str(storage))
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    exec(code, {})  # noqa: S102  (the page's own)
    assert (tmp_path / "where_to_drop.png").stat().st_size > 1000


FOUND = {  # of the runs of `tracked_samples`
    "tags.role = 'cell' AND attributes.status = 'FINISHED'": 11,
    "params.location = 'input'": 2,
    "tags.role = 'cell' AND params.scale = 'laptop' AND params.age = '80B'": 2,
    "attributes.status = 'FAILED' AND tags.role != 'sweep'": 1,
    "tags.role = 'cell' AND metrics.perplexity_drop_pct < 10": 7,
    "tags.role = 'cell' AND metrics.delta_nll_vs_control < 0.05": 4,
    "tags.owner = 'ann'": 17,
    "tags.layers = '1 2 3 4'": 2,
    "tags.trial_id = 'dcb7102573dcb442'": 1,
    "tags.role = 'sweep' AND metrics.num_failed > 0": 1,
    "attributes.status = 'RUNNING'": 2,
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory, migrated):
    """A sweep that ended, and one at another scale that runs."""
    store = Store(tmp_path_factory.mktemp("searched"))
    shutil.copy(migrated, store.path("mlflow.db"))
    deliver(store, fourteen_cells())
    begun = cell(LATE, "middle", partial(LATE, "middle", 3))
    deliver(store, sweep_of(begun, scale="other", owner="ben", running=True))
    return store


def test_every_search_of_the_page_is_tried():
    assert {line[1].strip("`") for line in tables()["what"]} == set(FOUND)


@pytest.mark.parametrize("condition", FOUND)
def test_a_search_finds_what_it_says(searched, condition):
    assert len(runs_of(searched, condition)) == FOUND[condition]


def test_the_best_cell_comes_first(searched, monkeypatch):
    import mlflow

    code = code_blocks()[1].replace("/home/me/.raydistill", str(searched.root))
    names = {}
    exec(code, names)  # noqa: S102  (the page's own)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    runs = names["runs"]
    assert runs["metrics.delta_nll"].is_monotonic_increasing
    assert set(runs["tags.role"]) == {"cell"}
