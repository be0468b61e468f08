"""A report is the same from the store and from a tracking server, whoever ran its cells."""

import dataclasses
import shutil
import subprocess
import sys

import pytest

from raydistill.core.errors import DataError, SetupError, UsageError
from raydistill.core.serialization import from_json, to_json
from raydistill.driver.from_mlflow import from_mlflow
from raydistill.planning.history.sweep_record import SweepRecord, all_records, save_record
from raydistill.reports.results.cells import Measured
from raydistill.reports.results.records import (
    BaseRecord,
    CellRecord,
    ReportRecords,
    SweepHeader,
    assemble,
)
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.tables.table import build_table
from raydistill.storage.store import Store
from raydistill.tracking.sync import sync_sweep as sync_sweep
from support import sweeping
from support.mlflow_server import free_port, server
from support.reported import FAILURE, LATE, YOUNG, cell, row_of, sweep, whole_sweep
from support.tracked_samples import base as tracked_base
from support.tracked_samples import cell as tracked_cell
from support.tracked_samples import failed, measured, partial, sweep_of

ABOUT = SweepHeader(
    sweep="where_to_drop",
    question="Where in the model should the layers come out of?",
    scale="laptop",
    small_scale=True,
    searched=False,
)


def records_of(report, sha256="a" * 64):
    return ReportRecords(
        bases=tuple(BaseRecord(about=ABOUT, base=base) for base in report.bases),
        cells=tuple(CellRecord(about=ABOUT, base_sha256=sha256, cell=c) for c in report.cells),
    )


def test_cells_kept_one_by_one_are_the_report_that_they_came_from():
    report = whole_sweep()
    (assembled,) = assemble(records_of(report))
    assert assembled.bases == report.bases
    assert sorted(assembled.cells, key=str) == sorted(report.cells, key=str)
    (reversed_,) = assemble(records_of(dataclasses.replace(report, cells=report.cells[::-1])))
    assert reversed_ == assembled


def test_a_kept_cell_comes_back_equal_from_json():
    for outcome in (cell("input").outcome, FAILURE):
        one = CellRecord(about=ABOUT, base_sha256="a", cell=cell("input", outcome=outcome))
        assert from_json(CellRecord, to_json(one)) == one


def test_a_cell_that_two_people_ran_is_one_and_the_finished_one_counts():
    cells = [cell("input", outcome=FAILURE), cell("input"), cell("input", outcome=FAILURE)]
    (report,) = assemble(records_of(sweep(cells)))
    assert [type(cell.outcome) for cell in report.cells] == [Measured]


def test_other_weights_of_the_same_age_are_another_report():
    own = records_of(sweep([cell("input")], [LATE]))
    scores = dataclasses.replace(LATE.scores, weights_sha256="9" * 64)
    other_base = dataclasses.replace(LATE, scores=scores)
    other = records_of(sweep([cell("middle")], [other_base]), sha256="9" * 64)
    together = ReportRecords(bases=own.bases + other.bases, cells=own.cells + other.cells)
    first, second = assemble(together)
    assert [c.location for c in first.cells] == ["input"]
    assert [c.location for c in second.cells] == ["middle"]
    assert second.bases == (other_base,)
    assert "other bases" in second.scale


def test_what_a_flag_changed_is_part_of_a_row_s_name():
    cells = [cell("input"), cell("input", gap_tokens=2048)]
    (report,) = assemble(records_of(sweep(cells)))
    names = [row.name for row in build_table(report).blocks[0].rows]
    assert sorted(names) == ["gap_tokens 0", "gap_tokens 2.048K"]


def test_cells_that_wait_are_counted():
    waiting = dataclasses.replace(
        records_of(sweep([cell("input")])), unfinished={("where_to_drop", "laptop"): 3}
    )
    (report,) = assemble(waiting)
    assert "3 of 4 cells are not finished yet." in build_table(report).warnings


def record_of(cells=()):
    return SweepRecord(
        name="where_to_drop",
        question="?",
        axes=("age", "location"),
        scale="smoke",
        small_scale=True,
        searched=False,
        cells=tuple(cells),
    )


def test_a_store_that_never_ran_a_sweep_says_which_it_has(tmp_path):
    store = Store(tmp_path)
    save_record(record_of(), store)
    with pytest.raises(UsageError, match="Did you mean 'where_to_drop'"):
        from_store(store, ["where_to_dorp"])
    assert from_store(store, ["where-to-drop"]) == from_store(store, ["where_to_drop"])


@pytest.mark.parametrize("text", ["{", '{"name": 1}'])
def test_a_record_that_was_changed_is_an_error_with_its_path(tmp_path, text):
    store = Store(tmp_path)
    save_record(record_of(), store)
    store.path("sweeps/where_to_drop/smoke/asked.json").write_text(text)
    with pytest.raises(DataError, match=r"asked\.json is not readable"):
        list(all_records(store))


def test_a_record_of_a_newer_version_is_refused(tmp_path):
    store = Store(tmp_path)
    save_record(dataclasses.replace(record_of(), schema=9), store)
    with pytest.raises(DataError, match="written by schema 9, this reads 1"):
        list(all_records(store))


def tracked(report):
    """`report` as a driver delivers it to MLflow."""
    bases = [
        dataclasses.replace(
            tracked_base(base.age), record=to_json(BaseRecord(about=ABOUT, base=base))
        )
        for base in report.bases
    ]
    cells = []
    for own in report.cells:
        finished = isinstance(own.outcome, Measured)
        location = own.location if own.location in DRAWN else "input"
        outcome = measured(own.age, location) if finished else failed(own.age, location)
        record = to_json(CellRecord(about=ABOUT, base_sha256="a" * 64, cell=own))
        sample = tracked_cell(own.age, location, outcome)
        values = {**sample.values, "location": own.location}
        cells.append(dataclasses.replace(sample, values=values, record=record))
    return dataclasses.replace(sweep_of(*cells), bases=tuple(bases))


DRAWN = ("none", "input", "output", "both", "middle", "max-gap")


@pytest.fixture(scope="module")
def served(tmp_path_factory, migrated):
    """Two people's runs on one server: the cells of the young base, and those of the late."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(migrated, folder / "served.db")
    report = whole_sweep()
    with server(folder, free_port()) as uri:
        for age in (YOUNG.age, LATE.age):
            of_age = dataclasses.replace(
                report,
                bases=tuple(base for base in report.bases if base.age == age),
                cells=tuple(cell for cell in report.cells if cell.age == age),
            )
            delivered = dataclasses.replace(tracked(of_age), owner=f"person {age}")
            sync_sweep(delivered, uri=uri, store=Store(folder / str(age)))
        yield uri, Store(folder / "reader"), report


def test_a_server_gives_the_table_that_the_store_gives(served):
    uri, store, report = served
    (tracked,) = from_mlflow(uri, store, (), ("raydistill/where_to_drop",), "")
    (stored,) = assemble(records_of(report))
    assert build_table(tracked) == build_table(stored)
    for age in ("80B", "320B"):
        assert row_of(build_table(tracked), age, "input") == row_of(
            build_table(report), age, "input"
        )


def test_a_filter_chooses_cells_and_keeps_what_they_are_compared_with(served):
    uri, store, _ = served
    (report,) = from_mlflow(uri, store, (), (), "params.location = 'input' and params.age = '320B'")
    assert sorted(cell.location for cell in report.cells) == ["input", "none"]
    assert [base.age for base in report.bases] == [LATE.age]


@pytest.mark.parametrize(
    ("experiments", "condition", "message"),
    [
        (("raydistill/where_to_dorp",), "", "did you mean 'raydistill/where_to_drop'"),
        ((), "location is input", "--filter 'location is input'"),
    ],
)
def test_a_wrong_experiment_or_filter_is_refused(served, experiments, condition, message):
    uri, store, _ = served
    with pytest.raises(UsageError, match=message):
        from_mlflow(uri, store, (), experiments, condition)


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(SetupError, match="does not exist"):
        from_mlflow(f"sqlite:///{tmp_path}/no.db", Store(tmp_path), (), (), "")
    assert not list(tmp_path.glob("*.db"))


def test_a_run_that_has_not_ended_has_no_record():
    waiting = tracked_cell(LATE.age, "input", partial(LATE.age, "input", 3))
    assert waiting.record == ""


@pytest.mark.parametrize("words", [["report"], ["show", "0"], ["diff", "0", "1"], ["best"]])
def test_the_commands_say_when_there_is_nothing_to_read(words, tmp_path):
    code = "from raydistill.cli.console import raydistill; raydistill()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=sweeping.environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert "no sweep was run in" in done.stderr


def test_the_help_of_a_report_imports_nothing_slow():
    code = (
        "import sys; from raydistill.cli.console import raydistill\n"
        "sys.argv = ['raydistill', 'report', '--help']\n"
        "try: raydistill()\n"
        "finally: print(sorted({'torch', 'ray', 'mlflow', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("[]"), done.stderr
