"""Results in MLflow: written from the store, by the driver only, each of them exactly once.

    check(uri, store)              before anything starts: one line, or an error that helps
    sync(sweep, uri=, store=)      bring MLflow to what the store holds; call it at any time
    Tracker(snapshot, ...)         the same from a thread, now and then, and a last time at the end

Importing this package imports no mlflow; the first delivery does.
"""

from raydistill.redact import redact
from raydistill.tracking.client import experiments, open_client
from raydistill.tracking.destination import check, default_uri
from raydistill.tracking.environment import environment
from raydistill.tracking.mirror import Delivery, experiment_name, sync
from raydistill.tracking.pages import experiment_url, ui_command
from raydistill.tracking.reader import FoundRun, read_runs
from raydistill.tracking.records import (
    NoControl,
    Role,
    TrackedBase,
    TrackedCell,
    TrackedSweep,
)
from raydistill.tracking.tracker import Tracker

__all__ = [
    "Delivery",
    "FoundRun",
    "NoControl",
    "Role",
    "TrackedBase",
    "TrackedCell",
    "TrackedSweep",
    "Tracker",
    "check",
    "default_uri",
    "environment",
    "experiment_name",
    "experiment_url",
    "experiments",
    "open_client",
    "read_runs",
    "redact",
    "sync",
    "ui_command",
]
