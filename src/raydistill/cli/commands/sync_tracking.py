"""`raydistill track sync`: what a storage holds, brought to MLflow by hand."""

import argparse
from pathlib import Path

from raydistill.cli.arguments.sweep_flags import tracking_uri_of
from raydistill.core.errors import SetupError, UsageError, unknown
from raydistill.core.redaction import redact
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import SweepRecord, all_records
from raydistill.reports.console.console import open_console
from raydistill.storage.lock import hold_lock
from raydistill.storage.object_store import check_storage
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination
from raydistill.tracking.environment import environment
from raydistill.tracking.sync import sync_sweep


def sync(store: Store, flags: argparse.Namespace) -> int:
    """Deliver every sweep of the storage, or those named; trains nothing.

    Raises:
        UsageError: if a sweep was never run here, or none was.
        SetupError: if MLflow does not take it, or a sweep is running: that delivers by itself.
    """
    there = list(all_records(store))
    if not there:
        raise UsageError(f"no sweep was run in {store.root}: nothing to deliver")
    names = sorted({asked.name for asked in there})
    for name in flags.sweep:
        if name not in names:
            raise UsageError(unknown("sweep", name, names))
    uri = tracking_uri_of(flags, store.root)
    check_storage(store.root)
    console = open_console()
    console.print(check_destination(uri, store))
    for asked in there:
        if not flags.sweep or asked.name in flags.sweep:
            with hold_lock(
                store.path("sweeps", asked.name, asked.scale, "lock.json"), console.print
            ):
                console.print(f"{asked.name} ({asked.scale}): {_deliver(asked, uri, store)}")
    return 0


def _deliver(asked: SweepRecord, uri: str, store: Store) -> str:
    """Bring MLflow to what the store holds of a sweep; what that took, in words."""
    sweep = for_tracker(
        read_state(asked, store),
        command=f"python sweeps/{asked.name}.py --scale {asked.scale}",
        running=False,
        environment=environment(Path.cwd()),
        files=_files(store.path("sweeps", asked.name, asked.scale)),
    )
    try:
        delivery = sync_sweep(sweep, uri=uri, store=store)
    except SetupError:
        raise
    except Exception as error:  # whatever MLflow raises
        raise SetupError(f"MLflow did not take {asked.name}: {redact(str(error))}") from error
    return f"{len(delivery.run_ids) + 1} runs, {delivery.written} of them written now"


def _files(folder: Path) -> dict[str, str]:
    """The tables and figures that the last report of a sweep left, by name."""
    kinds = (".md", ".svg", ".html", ".tex", ".csv", ".json")
    skipped = ("asked.json", "asked-searched.json", "lock.json")
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*"))
        if path.suffix in kinds and path.name not in skipped
    }
