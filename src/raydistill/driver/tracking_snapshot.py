"""A sweep as the store holds it, in the form that the tracker takes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from raydistill.core.serialization import to_json
from raydistill.core.text.redaction import redact
from raydistill.evaluation.performance_drops import tasks_averaged
from raydistill.planning.cell import ADDED, REFERENCE, Cell, Value
from raydistill.planning.history.state import (
    CellState,
    SweepState,
    has_begun,
    has_ended,
    layer_map_of,
)
from raydistill.planning.preview.trial_table import layer_map
from raydistill.reports.results.cells import is_control, is_taught
from raydistill.reports.results.controls import control_of
from raydistill.reports.results.records import CellRecord
from raydistill.reports.sources.from_state import records_of
from raydistill.specs.results import NoControl, Scores, TaughtBy, TrialFailure
from raydistill.specs.scale import Scale
from raydistill.storage.owner import owner
from raydistill.tracking.records import Role, TrackedBase, TrackedCell, TrackedSweep


def for_tracker(
    state: SweepState,
    *,
    command: str,
    running: bool,
    environment: Mapping[str, str],
    files: Mapping[str, str],
) -> TrackedSweep:
    """What MLflow is to hold: every base, and every cell that has begun."""
    sweep, records = state.asked, records_of(state)
    controls = [record for record in records.cells if record.cell.role == "control"]
    ended = iter(records.cells)
    return TrackedSweep(
        name=sweep.name,
        question=sweep.question,
        scale=sweep.scale,
        axes=sweep.every_axis,
        command=command,
        owner=owner(),
        running=running,
        complete=_is_complete(state),
        tasks_averaged=tasks_averaged(base.scores for base in state.bases),
        environment=environment,
        bases=tuple(
            TrackedBase(
                values={"age": base.asked.age} | _limit(base.asked.scale),
                as_run={
                    "scale": base.asked.scale.name,
                    **_lengths(base.asked.scale),
                    "age_tokens": base.asked.scale.age_tokens(base.asked.age),
                },
                layer_map=layer_map(base.asked.scale.model.num_layers, ()),
                scores=base.scores,
                documents=base.documents,
                probes=base.probes,
                record=to_json(record),
            )
            for base, record in zip(state.bases, records.bases, strict=True)
        ),
        cells=tuple(
            _tracked_cell(cell, next(ended) if has_ended(cell) else None, controls)
            for cell in state.cells
            if has_begun(cell)
        ),
        files=files,
    )


def _is_complete(state: SweepState) -> bool:
    """Whether every cell has ended, or of a search any: it need not try them all."""
    if state.asked.searched:
        return any(map(has_ended, state.cells))
    return bool(state.cells) and all(map(has_ended, state.cells))


def _lengths(scale: Scale) -> dict[str, Value]:
    """The tokens of a window that perplexity is measured in, and of what is read of a task."""
    return {
        "window_tokens": scale.model.context,
        "max_length": scale.evaluation.tokens_read(scale.model),
    }


def _teacher(taught_by: TaughtBy | None) -> dict[str, Value]:
    """A teacher that is another model than its student's base, and its size."""
    if taught_by is None:
        return {}
    return {"teacher": taught_by.name, "teacher_parameters": taught_by.num_params}


def _control(record: CellRecord | None, controls: Sequence[CellRecord]) -> Scores | NoControl:
    if record is None:
        return NoControl()
    of_base = [other.cell for other in controls if other.base_sha256 == record.base_sha256]
    control = control_of(record.cell, of_base)
    return control.result.after if control else NoControl()


def _published(record: CellRecord | None) -> str:
    """The JSON of a record, without secrets, and without its training curve, which has metrics."""
    if record is None:
        return ""
    outcome = record.cell.outcome
    if isinstance(outcome, TrialFailure):
        outcome = replace(outcome, message=redact(outcome.message), traceback="")
    else:
        trained = replace(outcome.result.trained, curve=())
        outcome = replace(outcome, result=replace(outcome.result, trained=trained))
    return to_json(replace(record, cell=replace(record.cell, outcome=outcome)))


def _role(cell: Cell) -> Role:
    if ADDED in cell.values:
        return "added"
    if REFERENCE in cell.values:
        return "reference"
    request = cell.request
    if is_taught(request.location, request.budget, request.loss, cell.values):
        return "taught"
    return "control" if is_control(request.location, request.budget, request.start) else "cell"


def _limit(scale: Scale) -> dict[str, Value]:
    """What makes a first look a run of its own, beside that of all items."""
    return {"limit": scale.evaluation.limit} if scale.evaluation.limit else {}


def _tracked_cell(
    cell: CellState, record: CellRecord | None, controls: Sequence[CellRecord]
) -> TrackedCell:
    """A cell that has begun; with a `record` once it has ended."""
    request, scale = cell.cell.request, cell.cell.scale
    values: dict[str, Value] = {
        **{name: value for name, value in cell.cell.values.items() if name != "seed"},
        "age": request.age,
        "location": request.location,
        "count": request.count,
        "gap": request.gap,
        "budget": request.budget,
        **_limit(scale),
    }
    return TrackedCell(
        values=values,
        as_run={
            "scale": scale.name,
            **_lengths(scale),
            "age_tokens": scale.age_tokens(request.age),
            "gap_tokens": scale.gap_tokens(request),
            **_teacher(cell.taught_by),
        },
        role=_role(cell.cell),
        spec=cell.spec,
        layer_map=layer_map_of(cell),
        outcome=cell.outcome,
        control=_control(record, controls),
        figures=cell.figures.metrics,
        record=_published(record),
    )
