"""A report's cells from a storage."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from raydistill.core.errors import UsageError, unknown
from raydistill.planning.history.state import gone_tasks, read_state, without_tasks
from raydistill.planning.history.sweep_record import all_records
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.records import ReportRecords, assemble
from raydistill.reports.sources.from_state import records_of
from raydistill.storage.store import Store


def from_store(store: Store, names: Sequence[str]) -> list[SweepReport]:
    """The reports of all sweeps of a storage, or of those named.

    Raises:
        UsageError: if one of them was never run in this storage.
        DataError: if a record was written by a newer version.
    """
    every = {sweep.name for sweep in all_records(store)}
    names = [_as_stored(name, every) for name in names]
    sweeps = list(all_records(store, names))
    check_names(names, [sweep.name for sweep in sweeps], sorted(every))
    gone = {(sweep.name, sweep.scale): gone_tasks(sweep) for sweep in sweeps}
    here = [without_tasks(sweep, gone[sweep.name, sweep.scale]) for sweep in sweeps]
    parts = [records_of(read_state(sweep, store)) for sweep in here]
    reports = assemble(
        ReportRecords(
            bases=tuple(base for part in parts for base in part.bases),
            cells=tuple(cell for part in parts for cell in part.cells),
            unfinished={key: n for part in parts for key, n in part.unfinished.items()},
            spending={key: spent for part in parts for key, spent in part.spending.items()},
        )
    )
    return [
        replace(report, gone_tasks=gone.get((report.sweep, report.scale), ())) for report in reports
    ]


def _as_stored(name: str, every: Iterable[str]) -> str:
    """`name` as a sweep of the storage has it, with - for _ or the other way."""
    alike = {known.replace("-", "_"): known for known in every} | {known: known for known in every}
    return alike.get(name, alike.get(name.replace("-", "_"), name))


def check_names(names: Sequence[str], available: Sequence[str], every: Sequence[str]) -> None:
    """Refuse a sweep that a source does not have.

    Args:
        names: of the sweeps that the user names.
        available: sweeps among which each must be.
        every: sweep of the source, for the message.

    Raises:
        UsageError: with the nearest name.
    """
    for name in names:
        if name not in available:
            raise UsageError(unknown("sweep", name, sorted(set(every))))
