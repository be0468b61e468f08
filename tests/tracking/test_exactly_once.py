"""Killed at any moment and started again: every run once, every step once, nothing left open."""

import hashlib
import multiprocessing
import shutil
import signal
import sqlite3

import pytest

from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.destination import default_uri
from raydistill.tracking.writer import KEY, WRITTEN
from support.exactly_once_driver import LOCATIONS, STEPS, Moments, drive, drive_until

MOMENTS = ("training:27", "syncing:2", "between:3")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, migrated):
    storage = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(migrated, storage)
    drive(storage, Moments("never"))
    return storage


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, migrated):
    storage = tmp_path_factory.mktemp("disturbed")
    shutil.copy(migrated, storage)
    ends = [run_driver(storage, moment) for moment in (*MOMENTS, "never")]
    assert ends == [-signal.SIGKILL] * 3 + [0]
    return storage


def run_driver(storage, moment):
    """The exit code of a new process; one server has imported what takes each five CPU seconds."""
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store"])
    process = fresh.Process(target=drive_until, args=(storage, moment))
    process.start()
    process.join()
    return process.exitcode


def rows(storage, query):
    """From the database itself: what a client shows might hide a duplicate."""
    with sqlite3.connect(storage / "mlflow.db") as connection:
        return connection.execute(query).fetchall()


def test_there_is_one_run_for_every_cell_the_base_and_the_sweep(disturbed):
    names = [name for (name,) in rows(disturbed, "SELECT name FROM runs")]
    cells = ["control age=320B", *(f"{location} age=320B" for location in LOCATIONS[1:])]
    assert sorted(names) == sorted([*cells, "base age=320B", "where_to_drop (laptop)"])


def test_no_run_is_left_running(disturbed):
    assert rows(disturbed, "SELECT DISTINCT status FROM runs") == [("FINISHED",)]


@pytest.mark.parametrize("curve", ["train_loss", "lr", "num_layers"])
def test_every_curve_is_whole_and_has_each_step_once(disturbed, curve):
    query = f"""SELECT COUNT(*), COUNT(DISTINCT step) FROM metrics
                WHERE key = '{curve}' GROUP BY run_uuid"""
    assert rows(disturbed, query) == [(STEPS, STEPS)] * len(LOCATIONS)


def test_every_final_value_is_there_once(disturbed):
    query = """SELECT COUNT(*) FROM metrics WHERE key = 'perplexity_drop_pct'"""
    assert rows(disturbed, query) == [(len(LOCATIONS) + 1,)]  # and the base


def test_results_have_the_hashes_of_an_undisturbed_run(disturbed, undisturbed):
    assert hashes(disturbed) == hashes(undisturbed)
    assert len(hashes(disturbed)) == len(LOCATIONS)


def test_mlflow_shows_what_an_undisturbed_run_shows(disturbed, undisturbed):
    assert contents(disturbed) == contents(undisturbed)


def hashes(storage):
    paths = sorted(storage.glob("trials/*/trained.json"))
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def contents(storage):
    """Everything but ids and times, which differ between any two databases."""
    client = open_client(default_uri(Store(storage)))
    experiment = client.get_experiment_by_name("raydistill/where_to_drop")
    return {
        run.info.run_name: (
            run.data.params,
            run.data.metrics,
            {name: value for name, value in run.data.tags.items() if name not in PER_STORAGE},
            [
                (point.step, point.value)
                for point in client.get_metric_history(run.info.run_id, "train_loss")
            ],
            [file.path for file in client.list_artifacts(run.info.run_id)],
        )
        for run in client.search_runs([experiment.experiment_id])
    }


PER_STORAGE = {KEY, WRITTEN, "storage", "mlflow.parentRunId"}
