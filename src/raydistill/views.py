"""A sweep as the store holds it, in the forms that the report and the tracker take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill import tracking
from raydistill.asked import AskedSweep, was_added
from raydistill.bill import bill
from raydistill.choices import LayerChoice
from raydistill.codec import to_json
from raydistill.drops import tasks_averaged
from raydistill.dry_run import UNKNOWN, layer_map, map_of
from raydistill.evaluate import GENERAL, PERPLEXITY
from raydistill.flops import parameters
from raydistill.locations import Layers, label
from raydistill.outcomes import Documents, Finished, Outcome, Scores, TrialFailure, Unfinished
from raydistill.owner import owner
from raydistill.rates import Figures, figures_of
from raydistill.report import cells as report
from raydistill.report.cells import is_control
from raydistill.report.controls import control_of
from raydistill.report.kept import About, Kept, KeptBase, KeptCell
from raydistill.report.predictions import stability
from raydistill.results import measured, outcome
from raydistill.spec import SCRATCH_WITH_AGE, TrialSpec
from raydistill.statistics import DocumentScores, half
from raydistill.store import Store
from raydistill.sweep import ADDED, REFERENCE, BaseRequest, Cell, Value


@dataclass(frozen=True, kw_only=True, slots=True)
class CellState:
    """A cell, the trial that it means, and where that stands.

    `choice` is how its layers were chosen where the location is data-driven.
    """

    cell: Cell
    spec: TrialSpec
    base_sha256: str
    outcome: Outcome
    choice: LayerChoice | None
    remark: str  # what chose its peak rate
    edge: str  # where that may not be the best
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

    asked: AskedSweep
    bases: tuple[BaseState, ...]
    cells: tuple[CellState, ...]


def read_state(asked: AskedSweep, store: Store) -> SweepState:
    """Where a sweep stands."""
    starts = {
        (each.cell.base.key, each.base_sha256, each.spec.train.corpus_sha256): each.cell.base
        for each in asked.cells
    }
    bases = [
        BaseState(asked=base, scores=found[0], documents=found[1])
        for (_, sha256, corpus), base in sorted(starts.items(), key=lambda start: start[0])
        if (found := measured(sha256, corpus, base.scale.evaluation, store))
    ]
    outcomes: dict[tuple[str, str], Outcome] = {}
    cells = []
    for each in asked.cells:
        key = (each.spec.trial_id, each.base_sha256)
        if key not in outcomes:
            evaluation = each.cell.scale.evaluation
            outcomes[key] = outcome(each.spec, each.base_sha256, evaluation, store)
        cells.append(
            CellState(
                cell=each.cell,
                spec=each.spec,
                base_sha256=each.base_sha256,
                outcome=outcomes[key],
                choice=each.choice,
                remark=each.remark,
                edge=each.edge,
                figures=figures_of(each.spec.trial_id, outcomes[key], store),
            )
        )
    return SweepState(asked=asked, bases=tuple(bases), cells=tuple(cells))


def for_report(state: SweepState) -> report.SweepReport:
    """What the tables and figures are made from: finished and failed cells."""
    asked = state.asked
    waiting = [cell for cell in state.cells if isinstance(cell.outcome, Unfinished)]
    return report.SweepReport(
        sweep=asked.name,
        question=asked.question,
        scale=asked.scale,
        small_scale=asked.small_scale,
        searched=asked.searched,
        bases=tuple(
            report.ReportBase(
                scale=base.asked.scale.name,
                age=base.asked.age,
                age_tokens=base.asked.scale.age_tokens(base.asked.age),
                num_params=parameters(base.asked.scale.model),
                scores=base.scores,
                documents=_by_document(base.documents, asked),
            )
            for base in state.bases
        ),
        cells=tuple(_report_cell(cell, asked) for cell in state.cells if _is_ended(cell)),
        unfinished=sum(not asked.searched or _has_begun(cell) for cell in waiting),
        spending=bill(
            (
                (each.cell, each.outcome, each.figures)
                for each in state.cells
                if not was_added(each.spec)
            ),
            probing_s=asked.probing_s,
            price_per_hour=asked.price_per_hour,
        ),
        remarks=tuple(dict.fromkeys(cell.remark for cell in state.cells if cell.remark)),
    )


def _is_ended(cell: CellState) -> bool:
    return not isinstance(cell.outcome, Unfinished)


def for_keeping(state: SweepState) -> Kept:
    """The same one by one, each with all that a table needs, as MLflow keeps it."""
    asked, whole = state.asked, for_report(state)
    about = About(
        sweep=asked.name,
        question=asked.question,
        scale=asked.scale,
        small_scale=asked.small_scale,
        searched=asked.searched,
    )
    ended = [cell for cell in state.cells if _is_ended(cell)]
    spent = {each.trial_id: each for each in whole.spending.trials}
    return Kept(
        bases=tuple(KeptBase(about=about, base=base) for base in whole.bases),
        cells=tuple(
            KeptCell(
                about=about,
                base_sha256=each.base_sha256,
                cell=cell,
                spent=spent.get(each.spec.trial_id),
                remark=each.remark,
            )
            for each, cell in zip(ended, whole.cells, strict=True)
        ),
        unfinished={(asked.name, asked.scale): whole.unfinished},
        spending={(asked.name, asked.scale): replace(whole.spending, trials=())},
    )


def _report_cell(state: CellState, asked: AskedSweep) -> report.ReportCell:
    request, scale = state.cell.request, state.cell.scale
    num_layers = scale.model.num_layers
    named = label(request.location, num_layers, request.count, allow_ends=request.allow_ends)
    return report.ReportCell(
        scale=scale.name,
        num_params=parameters(scale.model),
        location=request.location,
        age=request.age,
        values=state.cell.values,
        layers=_layers(state),
        num_layers=num_layers,
        layer_map=_map(state),
        gap_tokens=scale.train_tokens(request.gap),
        train=state.spec.train,
        start=request.start,
        probed=bool(state.remark),
        outcome=_reported(state.outcome, asked),
        for_every_seed=request.budget == 0 or request.start == SCRATCH_WITH_AGE,
        note="; ".join(_notes(state, named)),
        choice=state.choice,
    )


def _layers(state: CellState) -> Layers:
    """The layers that left; none are known of most students trained elsewhere."""
    if ADDED not in state.cell.values or not isinstance(state.outcome, Finished):
        return state.spec.plan.layers
    trained = state.outcome.result.trained
    return tuple(layer for layer in range(trained.model.num_layers) if layer not in trained.kept)


def _map(state: CellState) -> str:
    if ADDED not in state.cell.values:
        return map_of(state.spec, state.cell.scale)
    assert isinstance(state.outcome, Finished), "what is added was measured"
    trained = state.outcome.result.trained
    if trained.model.num_layers == state.cell.scale.model.num_layers:
        return layer_map(trained.model.num_layers, _layers(state))
    return UNKNOWN * trained.model.num_layers


def _notes(state: CellState, named: str) -> Iterator[str]:
    if ADDED in state.cell.values:
        yield "trained elsewhere and evaluated here: on what, and for how long, is not checked"
        return
    if named != state.cell.request.location:
        yield named
    elif state.choice:
        yield stability(state.choice)
    if state.edge:
        yield state.edge


def _reported(result: Outcome, asked: AskedSweep) -> report.Measured | TrialFailure:
    assert not isinstance(result, Unfinished), result
    if isinstance(result, TrialFailure):
        return result
    return report.Measured(result=result.result, documents=_by_document(result.after, asked))


def _by_document(documents: Documents, asked: AskedSweep) -> DocumentScores:
    """Every score by document; after a search, on the documents that it did not select on.

    What a second text says is a number of its own, in `Scores`.
    """
    documents = {name: scores for name, scores in documents.items() if name != GENERAL}
    if asked.searched:
        units = documents[PERPLEXITY].units
        documents = {name: half(scores, "report", units) for name, scores in documents.items()}
    tasks = {name: scores for name, scores in documents.items() if name != PERPLEXITY}
    return DocumentScores(nll=documents[PERPLEXITY], tasks=tasks)


def for_tracker(
    state: SweepState,
    *,
    command: str,
    running: bool,
    environment: Mapping[str, str],
    files: Mapping[str, str],
) -> tracking.TrackedSweep:
    """What MLflow is brought to: every base, and every cell that has begun."""
    asked, kept = state.asked, for_keeping(state)
    controls = [each for each in kept.cells if each.cell.role == "control"]
    ended = iter(kept.cells)
    return tracking.TrackedSweep(
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
            tracking.TrackedBase(
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
            _tracked_cell(cell, next(ended) if _is_ended(cell) else None, controls)
            for cell in state.cells
            if _has_begun(cell)
        ),
        files=files,
    )


def _control(of: KeptCell | None, controls: Sequence[KeptCell]) -> Scores | tracking.NoControl:
    alike = [each.cell for each in controls if of and each.base_sha256 == of.base_sha256]
    control = control_of(of.cell, alike) if of else None
    return control.result.after if control else tracking.NoControl()


def _record(kept: KeptCell | None) -> str:
    """A cell for others to read: without its training curve, which has metrics, and secrets."""
    if kept is None:
        return ""
    outcome = kept.cell.outcome
    if isinstance(outcome, TrialFailure):
        told = replace(outcome, message=tracking.redact(outcome.message), traceback="")
        return to_json(replace(kept, cell=replace(kept.cell, outcome=told)))
    trained = replace(outcome.result.trained, curve=())
    thin = replace(outcome, result=replace(outcome.result, trained=trained))
    return to_json(replace(kept, cell=replace(kept.cell, outcome=thin)))


def _has_begun(cell: CellState) -> bool:
    return not isinstance(cell.outcome, Unfinished) or bool(cell.outcome.curve)


def _role(cell: Cell) -> tracking.Role:
    if ADDED in cell.values:
        return "added"
    if REFERENCE in cell.values:
        return "reference"
    request = cell.request
    return "control" if is_control(request.location, request.budget, request.start) else "cell"


def _tracked_cell(
    cell: CellState, kept: KeptCell | None, controls: Sequence[KeptCell]
) -> tracking.TrackedCell:
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
    return tracking.TrackedCell(
        values=asked,
        as_run={
            "scale": scale.name,
            "age_tokens": scale.age_tokens(request.age),
            "gap_tokens": scale.train_tokens(request.gap),
        },
        role=_role(cell.cell),
        spec=cell.spec,
        layer_map=_map(cell),
        outcome=cell.outcome,
        control=_control(kept, controls),
        figures=cell.figures.metrics,
        record=_record(kept),
    )
