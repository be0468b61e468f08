"""Delivers sweeps to the MLflow database of a test's store, and reads their runs."""

from raydistill.tracking.client import open_client
from raydistill.tracking.destination import default_uri
from raydistill.tracking.sync import sync_sweep


def deliver(store, sweep):
    return sync_sweep(sweep, uri=default_uri(store), store=store)


def runs_of(store, condition="", experiment="raydistill/where_to_drop"):
    client = open_client(default_uri(store))
    experiment = client.get_experiment_by_name(experiment)
    return client.search_runs([experiment.experiment_id], condition)


def the_run(store, condition):
    (run,) = runs_of(store, condition)
    return run


def points_of(store, run, name):
    history = open_client(default_uri(store)).get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in history]
