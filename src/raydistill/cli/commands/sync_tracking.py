"""`raydistill track sync`: bring MLflow to what a storage holds, by hand."""

import argparse
from pathlib import Path

from raydistill.cli.arguments.storage import tracking_uri_of
from raydistill.core.errors import SetupError, UsageError, unknown
from raydistill.core.text.redaction import redact
from raydistill.driver.environment import environment
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.planning.history.rerun_command import last_command
from raydistill.planning.history.state import gone_tasks, read_state
from raydistill.planning.history.sweep_record import SweepRecord, all_records
from raydistill.reports.console.console import open_console
from raydistill.storage.object_store import check_storage
from raydistill.storage.sharing import held_sweep
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination
from raydistill.tracking.sync import sync_sweep


def sync(store: Store, flags: argparse.Namespace) -> int:
    """Deliver every sweep of the storage, or those named; trains nothing.

    Raises:
        UsageError: if a sweep was never run here, or none was.
        SetupError: if MLflow does not take it, or a sweep is running: that delivers by itself.
    """
    records = list(all_records(store))
    if not records:
        raise UsageError(f"no sweep was run in {store.root}: nothing to deliver")
    names = sorted({record.name for record in records})
    for name in flags.sweep:
        if name not in names:
            raise UsageError(unknown("sweep", name, names))
    uri = tracking_uri_of(flags, store.root)
    check_storage(store.root)
    console = open_console()
    console.print(check_destination(uri, store))
    for record in records:
        if not flags.sweep or record.name in flags.sweep:
            folder = store.path("sweeps", record.name, record.scale)
            with held_sweep(store.root, record.name, record.scale, console.print):
                delivery = _deliver(record, folder, uri, store)
            console.print(f"{record.name} ({record.scale}): {delivery}")
    return 0


def _deliver(record: SweepRecord, folder: Path, uri: str, store: Store) -> str:
    """Bring MLflow to what the store holds of a sweep; returns how many runs that are."""
    if gone := gone_tasks(record):
        raise UsageError(
            f"{record.name} ({record.scale}) has scores of tasks whose files are not here: "
            f"{', '.join(gone)}; name their folder with --parts DIR"
        )
    sweep = for_tracker(
        read_state(record, store),
        command=last_command(record, store),
        running=False,
        environment=environment(Path.cwd()),
        files=_files(folder),
    )
    try:
        delivery = sync_sweep(sweep, uri=uri, store=store)
    except SetupError:
        raise
    except Exception as error:  # whatever MLflow raises
        raise SetupError(f"MLflow did not take {record.name}: {redact(str(error))}") from error
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
