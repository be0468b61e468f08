"""Where a report's cells come from: this storage, or an MLflow server that several people use."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from raydistill import tracking
from raydistill.asked import all_asked
from raydistill.codec import from_json
from raydistill.errors import DataError, UsageError, unknown
from raydistill.report.cells import ReportBase, ReportCell, SweepReport
from raydistill.report.controls import control_runs
from raydistill.report.kept import SCHEMA, Kept, KeptBase, KeptCell, assemble
from raydistill.store import Store
from raydistill.views import for_keeping, read_state

T = TypeVar("T", KeptBase, KeptCell)


def from_store(store: Store, names: Sequence[str]) -> list[SweepReport]:
    """The reports of all sweeps of a storage, or of those named.

    Raises:
        UsageError: if one of them was never run here.
        DataError: if what is kept was written by a newer version.
    """
    asked = list(all_asked(store, names))
    _check_names(names, [each.name for each in asked], [each.name for each in all_asked(store)])
    parts = [for_keeping(read_state(each, store)) for each in asked]
    return assemble(
        Kept(
            bases=tuple(base for part in parts for base in part.bases),
            cells=tuple(cell for part in parts for cell in part.cells),
            unfinished={key: n for part in parts for key, n in part.unfinished.items()},
            spending={key: each for part in parts for key, each in part.spending.items()},
        )
    )


def _check_names(names: Sequence[str], found: Sequence[str], there: Sequence[str]) -> None:
    for name in names:
        if name not in found:
            raise UsageError(unknown("sweep", name, sorted(set(there))))


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
    tracking.check(uri, store)
    runs = tracking.read_runs(uri, experiments, condition)
    _check_names(names, [run.sweep for run in runs], [run.sweep for run in runs])
    runs = [run for run in runs if not names or run.sweep in names]
    bases = tuple(_read(KeptBase, r.record) for r in runs if r.role == "base" and r.record)
    cells = [r for r in runs if r.role != "base" and r.record]
    chosen = [_read(KeptCell, run.record) for run in cells if run.chosen]
    others = [_read(KeptCell, run.record) for run in cells if not run.chosen]
    kept = [*_compared_with(chosen, others), *chosen]
    if condition:
        starts = {(each.cell.scale, each.cell.age, each.base_sha256) for each in kept}
        bases = tuple(each for each in bases if _start(each.base) in starts)
    unfinished = Counter(
        (run.sweep, run.scale) for run in runs if run.role != "base" and not run.record
    )
    return assemble(Kept(bases=bases, cells=tuple(kept), unfinished=unfinished))


def _start(base: ReportBase) -> tuple[object, ...]:
    return base.scale, base.age, base.scores.weights_sha256


def _compared_with(chosen: Sequence[KeptCell], others: Sequence[KeptCell]) -> list[KeptCell]:
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
