"""A sweep as the store holds it, in the forms that the report and the tracker take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from raydistill.core.redaction import redact
from raydistill.core.serialization import to_json
from raydistill.core.user import owner
from raydistill.evaluation.performance_drops import tasks_averaged
from raydistill.planning.cell import ADDED, REFERENCE, Cell, Value
from raydistill.planning.history.state import (
    CellState,
    SweepState,
    has_begun,
    has_ended,
    layer_map_of,
)
from raydistill.planning.preview.dry_run import layer_map
from raydistill.reports.results.cells import is_control
from raydistill.reports.results.controls import control_of
from raydistill.reports.results.records import CellRecord
from raydistill.reports.sources.from_state import records_for_report
from raydistill.specs.results import NoControl, Scores, TrialFailure
from raydistill.tracking.records import Role, TrackedBase, TrackedCell, TrackedSweep


def for_tracker(
    state: SweepState,
    *,
    command: str,
    running: bool,
    environment: Mapping[str, str],
    files: Mapping[str, str],
) -> TrackedSweep:
    """What MLflow is brought to: every base, and every cell that has begun."""
    asked, kept = state.asked, records_for_report(state)
    controls = [each for each in kept.cells if each.cell.role == "control"]
    ended = iter(kept.cells)
    return TrackedSweep(
        name=asked.name,
        question=asked.question,
        scale=asked.scale,
        axes=asked.axes,
        command=command,
        owner=owner(),
        running=running,
        tasks_averaged=tasks_averaged(base.scores for base in state.bases),
        environment=environment,
        bases=tuple(
            TrackedBase(
                values={"age": base.asked.age},
                as_run={
                    "scale": base.asked.scale.name,
                    "age_tokens": base.asked.scale.age_tokens(base.asked.age),
                },
                layer_map=layer_map(base.asked.scale.model.num_layers, ()),
                scores=base.scores,
                documents=base.documents,
                record=to_json(record),
            )
            for base, record in zip(state.bases, kept.bases, strict=True)
        ),
        cells=tuple(
            _tracked_cell(cell, next(ended) if has_ended(cell) else None, controls)
            for cell in state.cells
            if has_begun(cell)
        ),
        files=files,
    )


def _control(of: CellRecord | None, controls: Sequence[CellRecord]) -> Scores | NoControl:
    alike = [each.cell for each in controls if of and each.base_sha256 == of.base_sha256]
    control = control_of(of.cell, alike) if of else None
    return control.result.after if control else NoControl()


def _record(kept: CellRecord | None) -> str:
    """A cell for others to read: without its training curve, which has metrics, and secrets."""
    if kept is None:
        return ""
    outcome = kept.cell.outcome
    if isinstance(outcome, TrialFailure):
        told = replace(outcome, message=redact(outcome.message), traceback="")
        return to_json(replace(kept, cell=replace(kept.cell, outcome=told)))
    trained = replace(outcome.result.trained, curve=())
    thin = replace(outcome, result=replace(outcome.result, trained=trained))
    return to_json(replace(kept, cell=replace(kept.cell, outcome=thin)))


def _role(cell: Cell) -> Role:
    if ADDED in cell.values:
        return "added"
    if REFERENCE in cell.values:
        return "reference"
    request = cell.request
    return "control" if is_control(request.location, request.budget, request.start) else "cell"


def _tracked_cell(
    cell: CellState, kept: CellRecord | None, controls: Sequence[CellRecord]
) -> TrackedCell:
    """A cell that has begun; `kept` once it has ended."""
    request, scale = cell.cell.request, cell.cell.scale
    asked: dict[str, Value] = {
        **{name: value for name, value in cell.cell.values.items() if name != "seed"},
        "age": request.age,
        "location": request.location,
        "count": request.count,
        "gap": request.gap,
        "budget": request.budget,
    }
    return TrackedCell(
        values=asked,
        as_run={
            "scale": scale.name,
            "age_tokens": scale.age_tokens(request.age),
            "gap_tokens": scale.train_tokens(request.gap),
        },
        role=_role(cell.cell),
        spec=cell.spec,
        layer_map=layer_map_of(cell),
        outcome=cell.outcome,
        control=_control(kept, controls),
        figures=cell.figures.metrics,
        record=_record(kept),
    )
