"""Reports from an MLflow server that several people use, instead of from this storage."""

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
    """The reports of the runs of some experiments, or of every sweep.

    Args:
        uri: of a tracking server or a database.
        store: knows where this storage has delivered before.
        names: of the sweeps to report; none means all.
        experiments: by name; none means those of every sweep.
        condition: a filter of cells, in MLflow's words; what they are compared with is read anyway.

    Raises:
        UsageError: if there is no such experiment or sweep, or MLflow refuses the condition.
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
    reported = (*_controls_of(chosen, others), *chosen)
    if condition:
        keys = {(record.cell.scale, record.cell.age, record.base_sha256) for record in reported}
        bases = tuple(record for record in bases if _key(record.base) in keys)
    unfinished = Counter(
        (run.sweep, run.scale) for run in runs if run.role != "base" and not run.record
    )
    return assemble(ReportRecords(bases=bases, cells=reported, unfinished=unfinished))


def _key(base: ReportBase) -> tuple[object, ...]:
    return base.scale, base.age, base.scores.weights_sha256


def _controls_of(chosen: Sequence[CellRecord], others: Sequence[CellRecord]) -> list[CellRecord]:
    """Those of `others` that are controls of chosen cells."""
    controls: dict[object, list[ReportCell]] = {}
    for record in (*others, *chosen):
        if record.cell.role == "control":
            controls.setdefault((record.about, record.base_sha256), []).append(record.cell)
    outcomes = {
        id(outcome)
        for record in chosen
        for outcome in control_runs(
            record.cell, controls.get((record.about, record.base_sha256), ())
        ).values()
    }
    return [record for record in others if id(record.cell.outcome) in outcomes]


def _read(kind: type[T], text: str) -> T:
    try:
        record = from_json(kind, text)
    except ValueError as error:
        raise DataError(f"a run's record is not readable by this version: {error}") from error
    schema = record.schema
    if schema > SCHEMA:
        raise DataError(f"a run's record was written by schema {schema}, this reads {SCHEMA}")
    return record
