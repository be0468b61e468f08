"""Brings MLflow to what the store holds: nothing twice, nothing lost.

A run is looked up by its key before it is created, and its digest is written last. If that is the
content's, there is nothing to do; else what is missing is added. So a sync may be killed anywhere
and repeated.
"""

import uuid
from dataclasses import dataclass

from raydistill.specs.results import loss_of
from raydistill.storage.manifest import write_new
from raydistill.storage.store import Store
from raydistill.tracking.client import find_experiment, open_client
from raydistill.tracking.destination import remember_delivery
from raydistill.tracking.fields import own_axes
from raydistill.tracking.links import VIEW_TAG, view_state
from raydistill.tracking.records import TrackedSweep
from raydistill.tracking.run_content import NOTE, base_content, cell_content, sweep_content
from raydistill.tracking.writer import Writer


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Where a sweep is in MLflow."""

    experiment_id: str
    sweep_run_id: str
    run_ids: tuple[str, ...]  # of the bases and cells, in their order
    written: int  # number of runs that had to change


def experiment_name(sweep: str) -> str:
    """The experiment that all runs of a sweep share."""
    return f"raydistill/{sweep}"


def storage_id(store: Store) -> str:
    """A unique name of this storage, which moves with it."""
    path = store.path("tracking", "storage_id")
    if not path.is_file():
        write_new(path, uuid.uuid4().hex[:16] + "\n")
    return path.read_text(encoding="utf-8").strip()


def sync_sweep(sweep: TrackedSweep, *, uri: str, store: Store) -> Delivery:
    """Make the sweep's MLflow experiment hold all of `sweep`.

    May be called at any time and any number of times, by one process at a time.

    Raises:
        SetupError: if the experiment was deleted in MLflow.
        Exception: whatever MLflow raises when it cannot be reached; call again later.
    """
    client = open_client(uri)
    experiment = find_experiment(client, experiment_name(sweep.name), uri, store)
    storage = storage_id(store)
    writer = Writer(client, experiment.experiment_id, storage)
    axes, loss = (
        own_axes(sweep, writer.scales() | {sweep.scale}),
        loss_of(base.scores for base in sweep.bases),
    )
    view = view_state(axes, (*sweep.axes, "seed"), loss)
    for name, value in {NOTE: sweep.question, VIEW_TAG: view}.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
    parent = sweep_content(sweep, storage)
    parent_id = writer.find_or_create(parent).info.run_id  # before its children, finished after
    contents = [base_content(sweep, base, storage) for base in sweep.bases]
    contents += [cell_content(sweep, cell, storage) for cell in sweep.cells]
    run_ids = tuple(writer.deliver(content, parent_id) for content in contents)
    writer.deliver(parent)
    if not sweep.running:
        writer.end_others({parent.key, *(content.key for content in contents)}, sweep.scale)
    remember_delivery(store, uri)
    return Delivery(
        experiment_id=experiment.experiment_id,
        sweep_run_id=parent_id,
        run_ids=run_ids,
        written=writer.written,
    )
