"""A sweep as the store holds it, in the forms that the report and the tracker take."""

import getpass
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from raydistill import tracking
from raydistill.bill import bill
from raydistill.choices import LayerChoice
from raydistill.dry_run import layer_map, map_of
from raydistill.evaluate import PERPLEXITY
from raydistill.flops import parameters
from raydistill.locations import NONE, label
from raydistill.outcomes import Documents, Finished, Outcome, Scores, TrialFailure, Unfinished
from raydistill.peaks import AT_EDGE, ArmKey, Choice, arm_key, choices, is_probed, probing_s
from raydistill.rates import Figures, figures_of
from raydistill.report import cells as report
from raydistill.report.predictions import stability
from raydistill.resolve import Known, layer_request, resolve
from raydistill.results import measured, outcome
from raydistill.spec import SCRATCH_WITH_AGE, TEACHER_FREE, TrainSpec, TrialSpec
from raydistill.statistics import DocumentScores, half
from raydistill.store import Store
from raydistill.sweep import BaseKey, BaseRequest, Cell, SweepPlan, Value, bases_of


@dataclass(frozen=True, kw_only=True, slots=True)
class CellState:
    """A cell, the trial that it means, and where that stands.

    `choice` is how its layers were chosen where the location is data-driven.
    """

    cell: Cell
    spec: TrialSpec
    outcome: Outcome
    choice: LayerChoice | None
    figures: Figures


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseState:
    """A base that was measured."""

    asked: BaseRequest
    scores: Scores
    documents: Documents


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepState:
    """A sweep as far as the store knows it."""

    plan: SweepPlan
    bases: tuple[BaseState, ...]
    cells: tuple[CellState, ...]
    peaks: Mapping[ArmKey, Choice]  # where they were probed
    probing_s: float  # device-seconds of it

    def control(self, cell: CellState) -> Scores | tracking.NoControl:
        """The scores of what trained as `cell` did, from the same base, with nothing removed."""
        for other in self.cells:
            same = _start_and_text(other) == _start_and_text(cell)
            if same and is_control(other.cell) and isinstance(other.outcome, Finished):
                return other.outcome.result.after
        return tracking.NoControl()


def is_control(cell: Cell) -> bool:
    """Whether a cell is the whole base trained on the budget (METHOD 1)."""
    return cell.request.location == NONE and cell.request.budget > 0


def _start_and_text(state: CellState) -> tuple[BaseKey, TrainSpec]:
    """What a cell shares with its control; the loss may differ, and a rate probed for each."""
    train = replace(state.spec.train, loss=TEACHER_FREE)
    if not isinstance(state.cell.request.peak_lr, str):
        train = replace(train, recipe=replace(train.recipe, peak_lr=0.0))
    return state.cell.base.key, train


def read_state(plan: SweepPlan, known: Known, store: Store) -> SweepState:
    """Where a sweep stands; cells whose layers or bases are not known yet are left out."""
    corpus = known.corpus.corpus_sha256
    bases = [
        BaseState(asked=asked, scores=found[0], documents=found[1])
        for asked in bases_of(plan.cells)
        if (base := known.bases.get(asked.key))
        if (found := measured(base.weights_sha256, corpus, asked.scale.evaluation, store))
    ]
    outcomes: dict[str, Outcome] = {}
    cells = []
    for cell in plan.cells:
        spec, base = resolve(cell, known), known.bases.get(cell.base.key)
        known_peak = cell.request.peak_lr != "probe"
        if isinstance(spec, TrialSpec) and base is not None and known_peak:
            trial_id = spec.trial_id
            if plan.options.search == "tpe" and trial_id in outcomes:
                continue  # a search takes every trial once, under its first name
            if trial_id not in outcomes:
                outcomes[trial_id] = outcome(
                    spec, base.weights_sha256, cell.scale.evaluation, store
                )
            reached = outcomes[trial_id]
            cells.append(
                CellState(
                    cell=cell,
                    spec=spec,
                    outcome=reached,
                    choice=known.layer_choices.get((cell.base.key, layer_request(cell.request))),
                    figures=figures_of(trial_id, reached, store),
                )
            )
    probed = plan.cells if plan.options.lr_probe else ()
    return SweepState(
        plan=plan,
        bases=tuple(bases),
        cells=tuple(cells),
        peaks=choices(probed, known, store),
        probing_s=probing_s(probed, known, store),
    )


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
                scale=base.asked.scale.name,
                age=base.asked.age,
                age_tokens=base.asked.scale.age_tokens(base.asked.age),
                num_params=parameters(base.asked.scale.model),
                scores=base.scores,
                documents=_by_document(base.documents, plan),
            )
            for base in state.bases
        ),
        cells=tuple(
            _report_cell(cell, state)
            for cell in state.cells
            if not isinstance(cell.outcome, Unfinished)
        ),
        spending=bill(
            ((each.cell, each.outcome, each.figures) for each in state.cells),
            probing_s=state.probing_s,
            price_per_hour=plan.options.price_per_hour,
        ),
        remarks=tuple(choice.sentence for choice in state.peaks.values()),
    )


def _report_cell(state: CellState, sweep: SweepState) -> report.ReportCell:
    request, scale = state.cell.request, state.cell.scale
    num_layers = scale.model.num_layers
    named = label(request.location, num_layers, request.count, allow_ends=request.allow_ends)
    return report.ReportCell(
        scale=scale.name,
        num_params=parameters(scale.model),
        location=request.location,
        age=request.age,
        values=state.cell.values,
        layers=state.spec.plan.layers,
        num_layers=num_layers,
        layer_map=map_of(state.spec, scale),
        gap_tokens=scale.train_tokens(request.gap),
        train=state.spec.train,
        outcome=_reported(state.outcome, sweep.plan),
        for_every_seed=request.budget == 0 or request.start == SCRATCH_WITH_AGE,
        note="; ".join(_notes(state, named, sweep)),
        choice=state.choice,
    )


def _notes(state: CellState, named: str, sweep: SweepState) -> Iterator[str]:
    if named != state.cell.request.location:
        yield named
    elif state.choice:
        yield stability(state.choice)
    choice = sweep.peaks.get(arm_key(state.cell))
    if choice and choice.at_edge and is_probed(state.cell):
        yield f"peak rate {choice.peak_lr:g}: {AT_EDGE}"


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
                values={"age": base.asked.age},
                as_run={
                    "scale": base.asked.scale.name,
                    "age_tokens": base.asked.scale.age_tokens(base.asked.age),
                },
                layer_map=layer_map(base.asked.scale.model.num_layers, ()),
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
    request, scale = cell.cell.request, cell.cell.scale
    asked: dict[str, Value] = {
        **{name: value for name, value in cell.cell.values.items() if name != "seed"},
        "age": request.age,
        "location": request.location,
        "count": request.count,
        "gap": request.gap,
        "budget": request.budget,
    }
    return tracking.TrackedCell(
        values=asked,
        as_run={
            "scale": scale.name,
            "age_tokens": scale.age_tokens(request.age),
            "gap_tokens": scale.train_tokens(request.gap),
        },
        role="control" if is_control(cell.cell) else "cell",
        spec=cell.spec,
        layer_map=map_of(cell.spec, scale),
        outcome=cell.outcome,
        control=state.control(cell),
        figures=cell.figures.metrics,
    )
