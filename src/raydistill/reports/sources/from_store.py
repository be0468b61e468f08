"""A report's cells from a storage."""

from collections.abc import Sequence

from raydistill.core.errors import UsageError, unknown
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import all_records
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.records import ReportRecords, assemble
from raydistill.reports.sources.from_state import records_for_report
from raydistill.storage.store import Store


def from_store(store: Store, names: Sequence[str]) -> list[SweepReport]:
    """The reports of all sweeps of a storage, or of those named.

    Raises:
        UsageError: if one of them was never run here.
        DataError: if what is kept was written by a newer version.
    """
    asked = list(all_records(store, names))
    check_names(names, [each.name for each in asked], [each.name for each in all_records(store)])
    parts = [records_for_report(read_state(each, store)) for each in asked]
    return assemble(
        ReportRecords(
            bases=tuple(base for part in parts for base in part.bases),
            cells=tuple(cell for part in parts for cell in part.cells),
            unfinished={key: n for part in parts for key, n in part.unfinished.items()},
            spending={key: each for part in parts for key, each in part.spending.items()},
        )
    )


def check_names(names: Sequence[str], found: Sequence[str], there: Sequence[str]) -> None:
    """Refuse a sweep that is not there.

    Raises:
        UsageError: naming those there are.
    """
    for name in names:
        if name not in found:
            raise UsageError(unknown("sweep", name, sorted(set(there))))
