"""Where a sweep stands, as the store knows it."""

from dataclasses import dataclass

from raydistill.evaluation.stored_scores import measured
from raydistill.planning.cell import ADDED, BaseRequest, Cell
from raydistill.planning.history.sweep_record import SweepRecord
from raydistill.planning.outcomes import outcome
from raydistill.planning.preview.dry_run import UNKNOWN, layer_map, map_of
from raydistill.pruning.layer_choice import LayerChoice
from raydistill.specs.locations import Layers
from raydistill.specs.results import Documents, Finished, Outcome, Scores, Unfinished
from raydistill.specs.trial import TrialSpec
from raydistill.storage.store import Store
from raydistill.training.throughput import Figures, figures_of


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

    asked: SweepRecord
    bases: tuple[BaseState, ...]
    cells: tuple[CellState, ...]


def read_state(asked: SweepRecord, store: Store) -> SweepState:
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


def has_ended(cell: CellState) -> bool:
    """Whether a cell has finished or failed."""
    return not isinstance(cell.outcome, Unfinished)


def layers_of(state: CellState) -> Layers:
    """The layers that left; none are known of most students trained elsewhere."""
    if ADDED not in state.cell.values or not isinstance(state.outcome, Finished):
        return state.spec.plan.layers
    trained = state.outcome.result.trained
    return tuple(layer for layer in range(trained.model.num_layers) if layer not in trained.kept)


def layer_map_of(state: CellState) -> str:
    """One box a layer, as the plan prints it."""
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
