"""What the tracker is told of a sweep that ended early."""

from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import record_of
from raydistill.planning.prepared import prepare
from raydistill.storage.store import Store
from raydistill.tracking.run_content import sweep_content
from support import trained_here

BOTH = ("--age", "320B", "--location", "none,input")


def status(storage, *flags):
    """Of the parent run in MLflow, once the sweep trains no more."""
    store = Store(storage)
    state = read_state(record_of(prepare(trained_here.plan(storage, *flags), store)), store)
    tracked = for_tracker(state, command="", running=False, environment={}, files={})
    return sweep_content(tracked, "storage").status


def test_a_sweep_is_finished_in_mlflow_once_every_cell_has_ended(prepared, tmp_path):
    """One that ended without a text or a base has no cell at all."""
    assert status(tmp_path, *BOTH) == "KILLED"
    storage = prepared(tmp_path)
    assert status(storage, *BOTH) == "KILLED"
    trained_here.train(storage, "--age", "320B", "--location", "none")
    assert status(storage, *BOTH) == "KILLED"
    assert status(storage, "--age", "320B", "--location", "none") == "FINISHED"
