"""The tracker's thread: an MLflow that is away or hangs costs nothing."""

import shutil
import threading

import pytest

from raydistill.core.errors import SetupError
from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.destination import check_destination, default_uri
from raydistill.tracking.tracker import Tracker
from support.mlflow_server import free_port, server
from support.tracked_samples import (
    LATE,
    STEP_TOKENS,
    cell,
    failed,
    measured,
    partial,
    sweep_of,
)


def test_a_tracker_survives_a_mistake_in_the_snapshot(store):
    def snapshot():
        raise ZeroDivisionError("of the snapshot")

    lines = []
    tracker = Tracker(snapshot, uri=default_uri(store), store=store, say=lines.append)
    with tracker:
        pass
    assert "(of the snapshot)" in lines[-1]


def test_a_stopped_sweep_does_not_wait_for_a_delivery_that_hangs(store):
    hanging = threading.Event()
    tracker = Tracker(hanging.wait, uri=default_uri(store), store=store, say=print, patience_s=0.01)
    with pytest.raises(KeyboardInterrupt), tracker:
        raise KeyboardInterrupt
    hanging.set()


def test_a_server_that_goes_away_in_mid_sweep_loses_nothing(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "served.db")
    store, port, lines = Store(tmp_path), free_port(), []
    uri = f"http://127.0.0.1:{port}"
    control = measured(LATE, "none").result.after
    begun = sweep_of(cell(LATE, "input", partial(LATE, "input", 5)), running=True)
    ended = sweep_of(
        cell(LATE, "none", measured(LATE, "none"), control),
        cell(LATE, "input", measured(LATE, "input"), control),
        cell(LATE, "middle", failed(LATE, "middle")),
    )

    with server(tmp_path, port):
        assert check_destination(uri, store).endswith("answers")
        assert Tracker(lambda: begun, uri=uri, store=store, say=lines.append).close() is True

    assert check_destination(uri, store).startswith("warning: ")  # it has delivered there before
    with pytest.raises(SetupError, match="does not answer"):
        check_destination(uri, Store(tmp_path / "another"))
    away = Tracker(lambda: ended, uri=uri, store=store, say=lines.append, every_s=3600)
    assert away.start().close() is False
    assert [line.startswith("warning: ") for line in lines] == [True, False]
    assert "Connection refused" in lines[0] or "Connection aborted" in lines[0]
    assert "the same command" in lines[1]

    with server(tmp_path, port):
        assert Tracker(lambda: ended, uri=uri, store=store, say=lines.append).close() is True
        assert_all_is_there(open_client(uri))


def assert_all_is_there(client):
    experiment = client.get_experiment_by_name("raydistill/where_to_drop").experiment_id
    runs = client.search_runs([experiment])
    statuses = {run.info.run_name: run.info.status for run in runs}
    assert statuses == {
        "where_to_drop (laptop)": "FAILED",
        "base age=320B": "FINISHED",
        "control age=320B": "FINISHED",
        "input age=320B": "FINISHED",
        "middle age=320B": "FAILED",
    }
    query = "params.location = 'input' and metrics.downstream_drop_pct < 50"
    (run,) = client.search_runs([experiment], query)
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in history] == [(n + 1) * STEP_TOKENS for n in range(20)]
    files = client.list_artifacts(run.info.run_id)
    assert [file.path for file in files] == ["scores_by_document.json"]
