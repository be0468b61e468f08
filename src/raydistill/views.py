"""A sweep as the store holds it, in the forms that the report and the tracker take."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, replace

from raydistill import tracking
from raydistill.dry_run import layer_map
from raydistill.evaluate import PERPLEXITY
from raydistill.flops import parameters
from raydistill.locations import NONE, label
from raydistill.outcomes import Documents, Finished, Outcome, Scores, TrialFailure, Unfinished
from raydistill.report import cells as report
from raydistill.resolve import Known, resolve
from raydistill.results import measured, outcome
from raydistill.spec import TEACHER_FREE, Base, ExternalBase, TrainSpec, TrialSpec
from raydistill.statistics import DocumentScores, half
from raydistill.store import Store
from raydistill.sweep import Cell, SweepPlan, Value, by_age


@dataclass(frozen=True, kw_only=True, slots=True)
class CellState:
    """A cell, the trial that it means, and where that stands."""

    cell: Cell
    spec: TrialSpec
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseState:
    """A base that was measured."""

    age: int  # in the paper's tokens
    age_tokens: int
    scores: Scores
    documents: Documents


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepState:
    """A sweep as far as the store knows it."""

    plan: SweepPlan
    bases: tuple[BaseState, ...]
    cells: tuple[CellState, ...]

    def control(self, cell: CellState) -> Scores | tracking.NoControl:
        """The scores of what trained as `cell` did, from the same base, with nothing removed."""
        for other in self.cells:
            same = _start_and_text(other.spec) == _start_and_text(cell.spec)
            is_control = other.cell.request.location == NONE
            if same and is_control and isinstance(other.outcome, Finished):
                return other.outcome.result.after
        return tracking.NoControl()


def _start_and_text(spec: TrialSpec) -> tuple[Base, TrainSpec]:
    """What a cell shares with its control; the loss may differ."""
    return spec.base, replace(spec.train, loss=TEACHER_FREE)


def read_state(plan: SweepPlan, known: Known, store: Store) -> SweepState:
    """Where a sweep stands; cells whose layers or bases are not known yet are left out."""
    evaluation, corpus = plan.scale.evaluation, known.corpus.corpus_sha256
    bases = [
        BaseState(
            age=age, age_tokens=plan.scale.age_tokens(age), scores=found[0], documents=found[1]
        )
        for age in by_age(plan.cells)
        if age in known.bases
        if (found := measured(known.bases[age].weights_sha256, corpus, evaluation, store))
    ]
    outcomes: dict[str, Outcome] = {}
    cells = []
    for cell in plan.cells:
        spec = resolve(cell.request, plan.scale, known)
        if isinstance(spec, TrialSpec) and isinstance(spec.base, ExternalBase):
            trial_id = spec.trial_id
            if plan.options.search == "tpe" and trial_id in outcomes:
                continue  # a search takes every trial once, under its first name
            if trial_id not in outcomes:
                outcomes[trial_id] = outcome(spec, evaluation, store)
            cells.append(CellState(cell=cell, spec=spec, outcome=outcomes[trial_id]))
    return SweepState(plan=plan, bases=tuple(bases), cells=tuple(cells))


def for_report(state: SweepState) -> report.SweepReport:
    """What the tables and figures are made from: finished and failed cells."""
    plan = state.plan
    return report.SweepReport(
        sweep=plan.sweep.name,
        question=plan.sweep.question,
        scale=plan.scale.name,
        small_scale=plan.scale.cheap,
        searched=plan.options.search == "tpe",
        bases=tuple(
            report.ReportBase(
                age=base.age,
                age_tokens=base.age_tokens,
                num_params=parameters(plan.scale.model),
                scores=base.scores,
                documents=_by_document(base.documents, plan),
            )
            for base in state.bases
        ),
        cells=tuple(
            _report_cell(cell, plan)
            for cell in state.cells
            if not isinstance(cell.outcome, Unfinished)
        ),
    )


def _report_cell(state: CellState, plan: SweepPlan) -> report.ReportCell:
    request, num_layers = state.cell.request, plan.scale.model.num_layers
    named = label(request.location, num_layers, request.count, allow_ends=request.allow_ends)
    return report.ReportCell(
        location=request.location,
        age=request.age,
        values=state.cell.values,
        layers=state.spec.plan.layers,
        num_layers=num_layers,
        layer_map=layer_map(num_layers, state.spec.plan.layers),
        gap_tokens=plan.scale.train_tokens(request.gap),
        train=state.spec.train,
        outcome=_reported(state.outcome, plan),
        note=named if named != request.location else "",
    )


def _reported(result: Outcome, plan: SweepPlan) -> report.Measured | TrialFailure:
    assert not isinstance(result, Unfinished), result
    if isinstance(result, TrialFailure):
        return result
    return report.Measured(result=result.result, documents=_by_document(result.after, plan))


def _by_document(documents: Documents, plan: SweepPlan) -> DocumentScores:
    """Every score by document; after a search, on the documents that it did not select on."""
    if plan.options.search == "tpe":
        units = documents[PERPLEXITY].units
        documents = {name: half(scores, "report", units) for name, scores in documents.items()}
    tasks = {name: scores for name, scores in documents.items() if name != PERPLEXITY}
    return DocumentScores(nll=documents[PERPLEXITY], tasks=tasks)


def for_tracker(
    state: SweepState, *, running: bool, environment: Mapping[str, str], files: Mapping[str, str]
) -> tracking.TrackedSweep:
    """What MLflow is brought to: every base, and every cell that has begun."""
    plan = state.plan
    return tracking.TrackedSweep(
        name=plan.sweep.name,
        question=plan.sweep.question,
        scale=plan.scale.name,
        axes=tuple(plan.sweep.axes),
        command=plan.options.command,
        owner=getpass.getuser(),
        running=running,
        environment=environment,
        bases=tuple(
            tracking.TrackedBase(
                values={"age": base.age},
                as_run={"age_tokens": base.age_tokens},
                layer_map=layer_map(plan.scale.model.num_layers, ()),
                scores=base.scores,
                documents=base.documents,
            )
            for base in state.bases
        ),
        cells=tuple(_tracked_cell(cell, state) for cell in state.cells if _has_begun(cell)),
        files=files,
    )


def _has_begun(cell: CellState) -> bool:
    return not isinstance(cell.outcome, Unfinished) or bool(cell.outcome.curve)


def _tracked_cell(cell: CellState, state: SweepState) -> tracking.TrackedCell:
    plan, request = state.plan, cell.cell.request
    asked: dict[str, Value] = {
        "age": request.age,
        "location": request.location,
        "count": request.count,
        "gap": request.gap,
        "budget": request.budget,
    }
    return tracking.TrackedCell(
        values=asked,
        as_run={
            "age_tokens": plan.scale.age_tokens(request.age),
            "gap_tokens": plan.scale.train_tokens(request.gap),
        },
        role="control" if request.location == NONE else "cell",
        spec=cell.spec,
        layer_map=layer_map(plan.scale.model.num_layers, cell.spec.plan.layers),
        outcome=cell.outcome,
        control=state.control(cell),
    )
