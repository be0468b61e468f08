"""`raydistill track sync`, and a tracking server that hangs or comes back with nothing."""

import os
import shutil
import signal
import time

import pytest

from raydistill.core.units import B
from raydistill.storage.lock import hold_lock
from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.tracker import Tracker
from support import sweeping, trained_here
from support.mlflow_server import free_port, server
from support.tracked_samples import cell, measured, sweep_of

LATE = 320 * B
SWEEP = ("--age", "320B", "--location", "none,input")


@pytest.fixture(scope="module")
def storage(prepared, tmp_path_factory):
    """With two trained trials, of which MLflow knows nothing."""
    storage = prepared(tmp_path_factory.mktemp("storage"))
    trained_here.train(storage, *SWEEP)
    return storage


def test_what_a_storage_holds_is_delivered_by_hand_once(storage):
    first = sweeping.command(storage, "track", "sync")
    assert first.returncode == 0, first.stderr
    assert "where_to_drop (smoke): 4 runs, 4 of them written now" in first.stdout
    cells = sweeping.assert_every_step_once(storage, "where_to_drop")
    assert sorted(run.data.params["location"] for run in cells) == ["input", "none"]
    again = sweeping.command(storage, "track", "sync", "where_to_drop")
    assert "4 runs, 0 of them written now" in again.stdout


def test_a_sweep_that_was_never_run_is_named(storage):
    done = sweeping.command(storage, "track", "sync", "where_to_dorp")
    assert done.returncode == 2
    assert "no sweep 'where_to_dorp'. Did you mean 'where_to_drop'?" in done.stderr


def test_a_sweep_that_runs_delivers_by_itself(storage):
    with hold_lock(storage / "sweeps/where_to_drop/smoke/lock.json", print):
        done = sweeping.command(storage, "track", "sync")
    assert done.returncode == 4
    assert f"this sweep is run by process {os.getpid()}" in done.stderr


def test_a_server_that_does_not_answer_is_named(storage):
    uri = f"http://127.0.0.1:{free_port()}"
    done = sweeping.command(storage, "track", "sync", "--tracking-uri", uri)
    assert done.returncode == 4
    assert f"MLflow at {uri} does not answer" in done.stderr


def test_a_server_that_hangs_is_not_waited_for_and_gets_everything_later(
    tmp_path, monkeypatch, migrated
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    shutil.copy(migrated, tmp_path / "served.db")
    store, port, messages = Store(tmp_path), free_port(), []
    ended = sweep_of(cell(LATE, "none", measured(LATE, "none")))
    with server(tmp_path, port) as uri:
        open_client(uri).search_experiments(max_results=1)
        tracker = Tracker(lambda: ended, uri=uri, store=store, say=messages.append, every_s=0.1)
        pids = stop_server(port)
        with tracker:  # in here, a sweep trains
            while not messages:
                time.sleep(0.05)
        assert "cannot be written to" in messages[0]
        assert "did not take all of the 1 cells" in messages[-1]
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        later = Tracker(lambda: ended, uri=uri, store=store, say=messages.append)
        while not later.close():  # it first answers what has hung
            time.sleep(0.2)
        assert runs_on(uri) == 3


def stop_server(port):
    import psutil

    pids = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if f"--port {port}" in " ".join(process.info["cmdline"] or ())
    ]
    assert pids
    family = {p.pid for pid in pids for p in psutil.Process(pid).children(recursive=True)}
    for pid in {*pids, *family}:
        os.kill(pid, signal.SIGSTOP)
    return {*pids, *family}


def runs_on(uri):
    client = open_client(uri)
    experiment = client.get_experiment_by_name("raydistill/where_to_drop")
    return len(client.search_runs([experiment.experiment_id]))


@pytest.mark.soak
def test_a_server_that_comes_back_on_another_database_gets_everything_again(
    storage, tmp_path, migrated
):
    port, one, other = free_port(), tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        shutil.copy(migrated, folder / "served.db")
        with server(folder, port) as uri:
            done = sweeping.command(storage, "track", "sync", "--tracking-uri", uri)
            assert done.returncode == 0, done.stderr
            assert runs_on(uri) == 4
