"""All that one MLflow run holds, as a value with a digest that tells when it changed."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raydistill.core.serialization import digest
from raydistill.core.text.redaction import redact, redact_value
from raydistill.specs.results import (
    Finished,
    NoControl,
    Outcome,
    TrialFailure,
    Unfinished,
    UnitScores,
)
from raydistill.tracking.fields import (
    HIDDEN,
    base_params,
    cell_params,
    cost_metrics,
    curve_points,
    drop_metrics,
    hidden_tags,
    is_known,
    layers_text,
    probe_metrics,
    retention_metrics,
    run_name,
    score_metrics,
    sweep_metrics,
)
from raydistill.tracking.notes import failure_note, run_note, sweep_note
from raydistill.tracking.records import TrackedBase, TrackedCell, TrackedSweep

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

NOTE = "mlflow.note.content"
RECORD = "report.json"  # the artifact that a report is made from
_LONGEST_TAG = 7_500  # MLflow refuses 8,000


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContent:
    """What a run must hold. `key` identifies it; a new `context` alone never makes it stale."""

    key: str
    name: str
    status: Status
    params: Mapping[str, str]
    tags: Mapping[str, str]
    note: str
    context: Mapping[str, str]  # owner, command, git state and versions of whoever wrote it
    curve: tuple[tuple[str, int, float], ...] = ()  # (name, tokens, value)
    finals: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    started_ms: tuple[int, ...] = ()  # one number, or none where it is not known
    ended_ms: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """Sixteen hex digits of everything but the context."""
        return digest({**dataclasses.asdict(self), "context": {}})


def sweep_content(sweep: TrackedSweep, storage: str) -> RunContent:
    """The parent run: the question, the table, and the state of the whole sweep."""
    failed = any(isinstance(cell.outcome, TrialFailure) for cell in sweep.cells)
    ended: Status = "FAILED" if failed else "FINISHED"
    unfinished = any(
        isinstance(cell.outcome, Unfinished) and not cell.outcome.stopped for cell in sweep.cells
    )
    stopped: Status = "KILLED" if unfinished or not sweep.complete else ended
    return RunContent(
        key=digest([storage, sweep.name, sweep.scale, "sweep"]),
        name=f"{sweep.name} ({sweep.scale})",
        status="RUNNING" if sweep.running else stopped,
        params={"sweep": sweep.name, "scale": sweep.scale},
        tags=_tags(sweep, storage, {"role": "sweep", "question": sweep.question}),
        note=redact(sweep_note(sweep))[:_LONGEST_TAG],
        context=_context(sweep),
        finals=_rounded(sweep_metrics(sweep)),
        files={name: redact(text) for name, text in sweep.files.items()},
    )


def base_content(sweep: TrackedSweep, base: TrackedBase, storage: str) -> RunContent:
    """A base: its scores, and drops of exactly zero."""
    params = _redacted(base_params(sweep, base))
    identity = [storage, sweep.name, sweep.scale, "base", dict(base.values)]
    about = {
        "role": "base",
        "layer_map": base.layer_map,
        "layers": layers_text(base),
        f"{HIDDEN}base_sha256": base.scores.weights_sha256,
    }
    level = base.scores.over(sweep.tasks_averaged)
    scores = score_metrics(base.scores, sweep.tasks_averaged) | probe_metrics(base.probes)
    finals = _rounded(drop_metrics(level, level) | scores)
    return RunContent(
        key=digest([*identity, base.scores.weights_sha256]),
        name=run_name("base", params, sweep.axes),
        status="FINISHED",
        params=params,
        tags=_tags(sweep, storage, about | _swept(sweep, params)),
        note=run_note(base, finals),
        context=_context(sweep),
        finals=finals,
        files=_documents({**base.documents, **base.probes}) | _record(base),
    )


def cell_content(sweep: TrackedSweep, cell: TrackedCell, storage: str) -> RunContent:
    """A cell, identified by its requested values and its trial."""
    params = _redacted(cell_params(sweep, cell))
    trial_id = cell.spec.trial_id
    trained = cell.outcome.result.trained if isinstance(cell.outcome, Finished) else None
    about = {
        "role": cell.role,
        "trial_id": trial_id,
        "trained_in": trained.trained_in if trained else sweep.name,
        "layer_map": cell.layer_map,
        "layers": layers_text(cell),
        **hidden_tags(cell),
    }
    finals = _finals(cell, sweep.tasks_averaged)
    failure = {"failure": _reason(cell.outcome)} if isinstance(cell.outcome, TrialFailure) else {}
    trained_by = {"owner": trained.made_by.owner} if trained and trained.made_by.owner else {}
    return RunContent(
        key=digest([storage, sweep.name, sweep.scale, cell.role, dict(cell.values), trial_id]),
        name=run_name(cell.role, params, sweep.axes),
        status=_status(cell.outcome, running=sweep.running),
        params=params,
        tags=_tags(sweep, storage, about | _swept(sweep, params) | failure),
        note=failure_note(cell, failure["failure"]) if failure else run_note(cell, finals),
        context=_context(sweep) | _redacted(trained_by),  # who trained it, in merged storages
        curve=_curve(cell.outcome),
        finals=finals,
        files=_cell_files(cell.outcome) | _record(cell),
        started_ms=(int(1000 * trained.started_s),) if trained else (),
        ended_ms=(int(1000 * trained.ended_s),) if trained else (),
    )


def _status(outcome: Outcome, *, running: bool) -> Status:
    if isinstance(outcome, Finished):
        return "FINISHED"
    if isinstance(outcome, TrialFailure):
        return "FAILED"
    return "RUNNING" if running else "KILLED"


def _curve(outcome: Outcome) -> tuple[tuple[str, int, float], ...]:
    if isinstance(outcome, TrialFailure):
        return ()
    source = outcome.result.trained if isinstance(outcome, Finished) else outcome
    return tuple(curve_points(source.curve, source.heldout_curve))


def _finals(cell: TrackedCell, averaged: tuple[str, ...]) -> dict[str, float]:
    outcome = cell.outcome
    if not isinstance(outcome, Finished):
        return {}
    before, after, control = outcome.result.before, outcome.result.after, cell.control
    if cell.role == "reference":  # nothing was removed from it
        return _rounded(score_metrics(after, averaged))
    cost = outcome.result.trained.cost
    drops = drop_metrics(before.over(averaged), after.over(averaged))
    if not isinstance(control, NoControl):
        drops |= drop_metrics(control.over(averaged), after.over(averaged), "_vs_control")
    return _rounded(
        {
            **drops,
            **score_metrics(after, averaged),
            **retention_metrics(before, after, averaged),
            **(cost_metrics(cost) if is_known(outcome) else {"evaluate_s": cost.evaluate_s}),
            **cell.figures,
        }
    )


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Four decimals, far below every standard error; a table of more cannot be read."""
    return {name: round(value, 4) for name, value in metrics.items()}


def _cell_files(outcome: Outcome) -> dict[str, str]:
    if isinstance(outcome, TrialFailure):
        return {"traceback.txt": redact(outcome.traceback)}
    return _documents(outcome.after) if isinstance(outcome, Finished) else {}


def _record(item: TrackedBase | TrackedCell) -> dict[str, str]:
    return {RECORD: item.record} if item.record else {}


def _documents(documents: Mapping[str, UnitScores]) -> dict[str, str]:
    scores = {name: dataclasses.asdict(units) for name, units in documents.items()}
    return {"scores_by_document.json": json.dumps(scores, indent=1, sort_keys=True)}


def _tags(sweep: TrackedSweep, storage: str, about: Mapping[str, str]) -> dict[str, str]:
    common = {"sweep": sweep.name, "scale": sweep.scale, "storage": storage}
    common |= {"tasks_averaged": ", ".join(sweep.tasks_averaged) or "none"}
    return _redacted({**common, **about})


def _swept(sweep: TrackedSweep, params: Mapping[str, str]) -> dict[str, str]:
    return {axis: params[axis] for axis in sweep.axes if axis in params}


def _reason(failure: TrialFailure) -> str:
    return redact(f"{failure.where}: {failure.message}")


def _context(sweep: TrackedSweep) -> dict[str, str]:
    return _redacted({"owner": sweep.owner, "command": sweep.command, **sweep.environment})


def _redacted(values: Mapping[str, str]) -> dict[str, str]:
    return {name: redact_value(name, value)[:_LONGEST_TAG] for name, value in values.items()}
