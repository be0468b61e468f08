"""The brackets of successive halving: layer sets of one model, age and count, with their losses.

Locations, gaps, orders, losses, teachers and recipes of equal length compete; all else is equal.
The rungs train the first seed only; the finalists are trained with every seed.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.core.serialization import digest
from raydistill.core.units import format_age
from raydistill.evaluation.stored_scores import cut_path, rung_path, selection_nll
from raydistill.planning.artifacts import Artifacts
from raydistill.planning.outcomes import final_nll, finished_trials, outcome_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search.halving import (
    DEFAULT_SHARES,
    BracketState,
    HalvingSchedule,
    advance,
    finish,
    halving_schedule,
    rivals_of,
    rung_tokens,
)
from raydistill.planning.search.rank_stability import grids, propose_rungs
from raydistill.specs.results import Finished, Outcome
from raydistill.specs.scale import Scale
from raydistill.specs.trial import TrialSpec
from raydistill.storage.manifest import steps_of
from raydistill.storage.store import Store
from raydistill.training.jobs import CutJob

_SETS_PER_JOB = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Bracket:
    """Layer sets that compete; each one's trials by the id of its first, one a seed."""

    title: str
    contenders: Mapping[str, tuple[PlannedTrial, ...]]

    def spec(self, name: str) -> TrialSpec:
        """The trial that a contender trains on the rungs."""
        trial = self.contenders[name][0].trial
        assert isinstance(trial, TrialSpec), "every layer score is known once the stages are done"
        return trial

    @property
    def first_trial(self) -> PlannedTrial:
        """One of the trials, which stands for what all share."""
        return next(iter(self.contenders.values()))[0]

    @property
    def scale(self) -> Scale:
        """The scale of the model."""
        return self.first_trial.scale


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingSearch:
    """The brackets of a plan with their schedules, and the sweep whose store has their losses."""

    brackets: tuple[tuple[Bracket, HalvingSchedule], ...]
    alone: tuple[PlannedTrial, ...]  # trained to the end, whatever comes of the brackets
    prepared: PreparedSweep

    def states(self, failed: Collection[str] = ()) -> list[BracketState]:
        """The state of each bracket; `failed` contenders leave."""
        return [
            bracket_state(bracket, schedule, self.prepared, failed)
            for bracket, schedule in self.brackets
        ]

    def last(self, states: Sequence[BracketState]) -> tuple[PlannedTrial, ...]:
        """The trials of the last stage: finalists with every seed, and what has no rival."""
        finalists = [
            trial
            for (bracket, _), state in zip(self.brackets, states, strict=True)
            for name in state.members
            for trial in bracket.contenders[name]
        ]
        return (*self.alone, *finalists)

    def is_done(self) -> bool:
        """Whether nothing is left to train or to measure."""
        states = self.states()
        return not any(state.missing for state in states) and all(
            isinstance(self.outcome(trial), Finished) for trial in self.last(states)
        )

    def outcome(self, planned: PlannedTrial) -> Outcome:
        """Where a trial stands."""
        return outcome_of(planned, self.prepared)


def open_halving(prepared: PreparedSweep) -> HalvingSearch:
    """The brackets of a sweep, with the schedules of its first run.

    The rungs come from the store's finished trials of the same scale and budget, if these settle
    any. Schedules are stored: the trials of the search itself must not change them halfway.
    """
    brackets, alone = brackets_of(prepared.trials)
    with_schedules = tuple((bracket, _schedule(bracket, prepared)) for bracket in brackets)
    return HalvingSearch(brackets=with_schedules, alone=alone, prepared=prepared)


def _schedule(bracket: Bracket, prepared: PreparedSweep) -> HalvingSchedule:
    plan, store, finalists = prepared.plan, prepared.store, prepared.plan.options.trials
    store_key = (
        *("sweeps", plan.sweep.name, plan.scale.name, "funnels"),
        f"{digest({'names': list(bracket.contenders), 'finalists': finalists})}.json",
    )
    schedule = store.load(HalvingSchedule, *store_key)
    if schedule is not None:
        return schedule
    budget = bracket.spec(next(iter(bracket.contenders))).train.recipe.budget_tokens
    evidence = [
        grid
        for grid in grids(finished_trials(store))
        if (grid.scale, grid.budget_tokens) == (bracket.scale.name, budget)
    ]
    shares = propose_rungs(evidence)
    untrained = [name for name in bracket.contenders if store.trained(name) is None]
    schedule = halving_schedule(len(untrained), finalists, shares or DEFAULT_SHARES)
    if shares:
        sets = sum(len(grid.sets) for grid in evidence)
        schedule = replace(schedule, origin=f"as {sets} finished layer sets settled")
    store.save(schedule, *store_key)
    return schedule


def brackets_of(
    trials: Sequence[PlannedTrial],
) -> tuple[tuple[Bracket, ...], tuple[PlannedTrial, ...]]:
    """The brackets of a plan, and the trials that have no rival: controls and the like.

    Args:
        trials: distinct ones, with every layer score known.
    """
    groups, alone = rivals_of(trials)
    return tuple(map(_bracket, groups)), tuple(alone)


def _bracket(rivals: Sequence[Sequence[PlannedTrial]]) -> Bracket:
    cell = rivals[0][0].cells[0]
    age, count = format_age(cell.request.age), cell.request.count
    contenders = {
        by_seed[0].trial.trial_id: tuple(by_seed)
        for by_seed in rivals
        if isinstance(by_seed[0].trial, TrialSpec)
    }
    return Bracket(title=f"{cell.scale.name}, age {age}, count {count}", contenders=contenders)


def bracket_state(
    bracket: Bracket,
    schedule: HalvingSchedule,
    prepared: PreparedSweep,
    failed: Collection[str] = (),
) -> BracketState:
    """The state of a bracket by the losses in the store of `prepared`.

    Contenders that `failed` could not be trained further in this run; they leave.
    """
    stages, store = range(schedule.final_stage + 1), prepared.store
    losses = [_losses(bracket, schedule, stage, prepared) for stage in stages]
    passed = [
        {name for name in bracket.contenders if _is_beyond(bracket, schedule, name, stage, store)}
        - losses[stage].keys()
        for stage in stages
    ]
    for stage in stages[1:]:
        stopped = set(failed) & bracket.contenders.keys() - losses[stage].keys() - passed[stage]
        losses[stage] |= dict.fromkeys(stopped, math.inf)
    state = advance(list(bracket.contenders), schedule.keeps, losses[:-1], passed[:-1])
    return state if state.missing else finish(state, losses[-1], schedule.finalists)


def stop_at(
    bracket: Bracket, schedule: HalvingSchedule, name: str, stage: int
) -> tuple[TrialSpec, int]:
    """A contender's trial, and after how many tokens it stops for a stage."""
    spec = bracket.spec(name)
    if stage in (0, schedule.final_stage):
        return spec, spec.train.recipe.total_tokens if stage else 0
    return spec, rung_tokens(spec.plan, spec.train.recipe, schedule.shares[stage - 1])


def _losses(
    bracket: Bracket, schedule: HalvingSchedule, stage: int, prepared: PreparedSweep
) -> dict[str, float]:
    """Nats per token of contenders at a stage, on the documents to select on, where known."""
    base_sha256, store = _base_sha256(bracket, prepared.artifacts), prepared.store
    evaluation = bracket.scale.evaluation

    def loss(name: str) -> float | None:
        spec, tokens = stop_at(bracket, schedule, name, stage)
        if stage == schedule.final_stage:
            end = outcome_of(bracket.contenders[name][0], prepared)
            return final_nll(end, "selection") if isinstance(end, Finished) else None
        if stage:
            return selection_nll(rung_path(spec, tokens, evaluation, store), store)
        layers, corpus_sha256 = spec.plan.layers, spec.train.corpus_sha256
        return selection_nll(cut_path(base_sha256, layers, corpus_sha256, evaluation, store), store)

    return {name: nll for name in bracket.contenders if (nll := loss(name)) is not None}


def _is_beyond(
    bracket: Bracket, schedule: HalvingSchedule, name: str, stage: int, store: Store
) -> bool:
    """Whether a contender is trained further than a stage."""
    if store.trained(name) is not None:
        return True
    spec, tokens = stop_at(bracket, schedule, name, stage)
    steps = steps_of(store.path("trials", name, "checkpoints"))
    return stage > 0 and any(step * spec.train.recipe.batch_tokens > tokens for step in steps)


def _base_sha256(bracket: Bracket, artifacts: Artifacts) -> str:
    return artifacts.bases[bracket.first_trial.cells[0].base.key].weights_sha256


def cut_jobs(bracket: Bracket, names: Sequence[str], prepared: PreparedSweep) -> list[CutJob]:
    """The jobs that measure these contenders without training."""
    artifacts = prepared.artifacts
    sets = sorted({bracket.spec(name).plan.layers for name in names})
    return [
        CutJob(
            weights_sha256=_base_sha256(bracket, artifacts),
            corpus_sha256=artifacts.corpus_of(bracket.scale).corpus_sha256,
            evaluation=bracket.scale.evaluation,
            layer_sets=tuple(sets[start : start + _SETS_PER_JOB]),
            storage=str(prepared.store.root),
        )
        for start in range(0, len(sets), _SETS_PER_JOB)
    ]
