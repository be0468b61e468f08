"""Where a report's cells come from: this storage, or an MLflow server that several people use."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from raydistill.core.errors import DataError
from raydistill.core.serialization import from_json
from raydistill.reports.results.cells import ReportBase, ReportCell, SweepReport
from raydistill.reports.results.controls import control_runs
from raydistill.reports.results.records import (
    SCHEMA,
    BaseRecord,
    CellRecord,
    ReportRecords,
    assemble,
)
from raydistill.reports.sources.from_store import check_names
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination
from raydistill.tracking.reader import read_runs

T = TypeVar("T", BaseRecord, CellRecord)


def from_mlflow(
    uri: str, store: Store, names: Sequence[str], experiments: Sequence[str], condition: str
) -> list[SweepReport]:
    """The reports of the runs of some experiments, or of every sweep's.

    Args:
        uri: of a tracking server or a database.
        store: tells where this storage has delivered before.
        names: of sweeps, to keep; none keeps all.
        experiments: by name; none means those of the sweeps.
        condition: chooses cells, in MLflow's words; what they are compared with is read anyway.

    Raises:
        UsageError: if an experiment, a sweep or the condition is not one.
        SetupError: if the server does not answer.
        DataError: if a run's record is missing or of a newer version.
    """
    check_destination(uri, store)
    runs = read_runs(uri, experiments, condition)
    check_names(names, [run.sweep for run in runs], [run.sweep for run in runs])
    runs = [run for run in runs if not names or run.sweep in names]
    bases = tuple(_read(BaseRecord, r.record) for r in runs if r.role == "base" and r.record)
    cells = [r for r in runs if r.role != "base" and r.record]
    chosen = [_read(CellRecord, run.record) for run in cells if run.chosen]
    others = [_read(CellRecord, run.record) for run in cells if not run.chosen]
    kept = [*_compared_with(chosen, others), *chosen]
    if condition:
        starts = {(each.cell.scale, each.cell.age, each.base_sha256) for each in kept}
        bases = tuple(each for each in bases if _start(each.base) in starts)
    unfinished = Counter(
        (run.sweep, run.scale) for run in runs if run.role != "base" and not run.record
    )
    return assemble(ReportRecords(bases=bases, cells=tuple(kept), unfinished=unfinished))


def _start(base: ReportBase) -> tuple[object, ...]:
    return base.scale, base.age, base.scores.weights_sha256


def _compared_with(chosen: Sequence[CellRecord], others: Sequence[CellRecord]) -> list[CellRecord]:
    """Those of `others` that are controls of chosen cells."""
    controls: dict[object, list[ReportCell]] = {}
    for each in (*others, *chosen):
        if each.cell.role == "control":
            controls.setdefault((each.about, each.base_sha256), []).append(each.cell)
    runs = {
        id(run)
        for each in chosen
        for run in control_runs(
            each.cell, controls.get((each.about, each.base_sha256), ())
        ).values()
    }
    return [each for each in others if id(each.cell.outcome) in runs]


def _read(kind: type[T], record: str) -> T:
    try:
        found = from_json(kind, record)
    except ValueError as error:
        raise DataError(f"a run's record is not readable by this version: {error}") from error
    if found.schema > SCHEMA:
        raise DataError(f"a run's record was written by schema {found.schema}, this reads {SCHEMA}")
    return found
