"""The state of a sweep in the store: the scores of its bases, the outcomes of its cells."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace

from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import PROBE, TASK, part_names
from raydistill.evaluation.probing.stored import kept_probes
from raydistill.evaluation.stored_scores import measured
from raydistill.planning.artifacts import compared_teacher
from raydistill.planning.cell import ADDED, BaseKey, BaseRequest
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord
from raydistill.planning.outcomes import outcome
from raydistill.planning.preview.dry_run import map_of
from raydistill.planning.preview.trial_table import UNKNOWN, layer_map
from raydistill.specs.corpus import MaskedLine, TextFacts, facts_path, masked_line_path
from raydistill.specs.locations import Layers
from raydistill.specs.results import Documents, Finished, Outcome, Scores, Unfinished
from raydistill.specs.scale import Scale
from raydistill.specs.trial import (
    CachedTeacher,
    ExternalBase,
    age_places,
)
from raydistill.storage.store import Store
from raydistill.training.throughput import Figures, figures_of


@dataclass(frozen=True, kw_only=True, slots=True)
class CellState(CellRequest):
    """A requested cell with the outcome of its trial."""

    outcome: Outcome
    figures: Figures


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseState:
    """A base with its scores."""

    asked: BaseRequest
    scores: Scores
    documents: Documents
    probes: Documents  # accuracies after fine-tuning, of its pretrained and of fresh weights
    text: TextFacts | None = None  # of what it was measured on
    masked_unigram_nats: float | None = None  # of the very targets of a masked loss


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepState:
    """A sweep with its bases and cells, as far as they are in the store."""

    asked: SweepRecord
    bases: tuple[BaseState, ...]
    cells: tuple[CellState, ...]


def read_state(record: SweepRecord, store: Store) -> SweepState:
    """The state of a sweep, by its record."""
    starts: dict[tuple[BaseKey, str, str], BaseRequest] = {}
    outcomes: dict[tuple[str, str], Outcome] = {}
    cells = []
    for request in record.cells:
        cell, spec, sha256 = request.cell, request.spec, request.base_sha256
        starts[cell.base.key, sha256, spec.train.corpus_sha256] = cell.base
        for teacher, weights in _teachers(request):
            starts.setdefault((teacher.key, weights, spec.train.corpus_sha256), teacher)
        key = (spec.trial_id, sha256)
        if key not in outcomes:
            outcomes[key] = outcome(spec, sha256, cell.scale.evaluation, store)
        of_request = {field.name: getattr(request, field.name) for field in fields(CellRequest)}
        figures = figures_of(spec.trial_id, outcomes[key], store)
        cells.append(CellState(**of_request, outcome=outcomes[key], figures=figures))
    places = age_places(age for (_, age), _, _ in starts)

    def order(start: tuple[tuple[BaseKey, str, str], BaseRequest]) -> tuple[str, int, str, str]:
        (scale, age), sha256, corpus = start[0]
        return scale, places[age], sha256, corpus

    bases = [
        BaseState(
            asked=base,
            scores=stored.scores,
            documents=stored.documents,
            probes=kept_probes(sha256, corpus, base.scale.evaluation, store)[0],
            text=store.load(TextFacts, *facts_path(corpus)),
            masked_unigram_nats=_masked_line(base.scale, corpus, store),
        )
        for (_, sha256, corpus), base in sorted(starts.items(), key=order)
        if (stored := measured(sha256, corpus, base.scale.evaluation, store))
    ]
    return SweepState(asked=record, bases=tuple(bases), cells=tuple(cells))


def _masked_line(scale: Scale, corpus_sha256: str, store: Store) -> float | None:
    """None of a loss that is not masked, and where its line was not counted."""
    if not (share := scale.evaluation.mask_share):
        return None
    windows, context = scale.evaluation.heldout_windows, scale.model.context
    line = store.load(MaskedLine, *masked_line_path(corpus_sha256, share, windows, context))
    return line.unigram_nats if line else None


def _teachers(request: CellRequest) -> Iterator[tuple[BaseRequest, str]]:
    """The teacher of a cell whose sweep compares teachers, and its weights.

    None where its checkpoint is gone.
    """
    teacher = request.spec.teacher
    base = teacher.base if isinstance(teacher, CachedTeacher) else teacher
    if isinstance(base, ExternalBase):
        with suppress(UsageError, DataError):
            if named := compared_teacher(request.cell):
                yield named, base.weights_sha256


def gone_tasks(record: SweepRecord) -> tuple[str, ...]:
    """The tasks and probes of a sweep whose files are not here: scores are found by their code."""
    asked = [cell.cell.scale.evaluation for cell in record.cells]
    tasks = {task for spec in asked for task in spec.corpus_tasks} - set(part_names(TASK))
    probes = {probe for spec in asked for probe in spec.corpus_probes} - set(part_names(PROBE))
    return tuple(sorted(tasks | probes))


def without_tasks(record: SweepRecord, gone: Collection[str]) -> SweepRecord:
    """The record of a sweep as if it had not measured these tasks and probes."""
    return replace(record, cells=tuple(_without_tasks(cell, gone) for cell in record.cells))


def _without_tasks(request: CellRequest, gone: Collection[str]) -> CellRequest:
    scale = request.cell.scale
    spec = scale.evaluation
    tasks, probes = (
        tuple(n for n in names if n not in gone) for names in (spec.tasks, spec.probes)
    )
    scale = replace(scale, evaluation=replace(spec, tasks=tasks, probes=probes))
    return replace(request, cell=replace(request.cell, scale=scale))


def has_ended(cell: CellState) -> bool:
    """Whether a cell has finished or failed."""
    return not isinstance(cell.outcome, Unfinished)


def layers_of(state: CellState) -> Layers:
    """The layers that were removed; of most students trained elsewhere they are not known."""
    if ADDED not in state.cell.values or not isinstance(state.outcome, Finished):
        return state.spec.plan.layers
    return state.outcome.result.trained.removed


def layer_map_of(state: CellState) -> str:
    """One box a layer, as in the dry run's table."""
    if state.spec.unchosen:
        return UNKNOWN * state.cell.scale.model.num_layers
    if ADDED not in state.cell.values:
        return map_of(state.spec, state.cell.scale)
    assert isinstance(state.outcome, Finished), "what is added was measured"
    trained = state.outcome.result.trained
    if trained.model.num_layers == state.cell.scale.model.num_layers:
        return layer_map(trained.model.num_layers, layers_of(state))
    return UNKNOWN * trained.model.num_layers


def has_begun(cell: CellState) -> bool:
    """Whether a cell has ended, or has trained a step."""
    return not isinstance(cell.outcome, Unfinished) or bool(cell.outcome.curve)
