"""What a funnel compares: layer sets of one model, age and count, and what the store knows of them.

Locations, gaps, orders, losses, teachers and rates compete; all else is alike. The first seed
stands on the rungs; the finalists are trained with every seed.
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
    ladder,
    rung_tokens,
)
from raydistill.planning.search.rank_stability import grids, proposed
from raydistill.specs.locations import NONE
from raydistill.specs.results import Finished, Outcome
from raydistill.specs.scale import Scale
from raydistill.specs.trial import FROM_BASE, TrialRequest, TrialSpec
from raydistill.storage.manifest import steps_of
from raydistill.storage.store import Store
from raydistill.training.jobs import CutJob

_AT_ONCE = 4  # layer sets that one piece of work measures


@dataclass(frozen=True, kw_only=True, slots=True)
class Bracket:
    """Layer sets that compete; each one's trials by the id of its first, one a seed."""

    title: str
    contenders: Mapping[str, tuple[PlannedTrial, ...]]

    def spec(self, name: str) -> TrialSpec:
        """What a contender trains on the rungs."""
        trial = self.contenders[name][0].trial
        assert isinstance(trial, TrialSpec), "every layer score is known once the stages are done"
        return trial

    @property
    def scale(self) -> Scale:
        """Of the model."""
        return next(iter(self.contenders.values()))[0].scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Funnel:
    """The contests of a plan with their ladders, and where to look for what came of them."""

    contests: tuple[tuple[Bracket, HalvingSchedule], ...]
    alone: tuple[PlannedTrial, ...]  # trained to the end, whatever the contests say
    prepared: PreparedSweep

    def climbs(self, failed: Collection[str] = ()) -> list[BracketState]:
        """How far each contest has come; `failed` leave."""
        return [
            standing(contest, ladder, self.prepared, failed) for contest, ladder in self.contests
        ]

    def last(self, climbs: Sequence[BracketState]) -> tuple[PlannedTrial, ...]:
        """What is trained in the end: the finalists with every seed, and what has no rival."""
        chosen = [
            trial
            for (contest, _), advance in zip(self.contests, climbs, strict=True)
            for name in advance.members
            for trial in contest.contenders[name]
        ]
        return (*self.alone, *chosen)

    def is_done(self) -> bool:
        """Whether nothing is left to train or to measure."""
        climbs = self.climbs()
        if any(advance.missing for advance in climbs):
            return False
        return all(isinstance(self.outcome(trial), Finished) for trial in self.last(climbs))

    def outcome(self, planned: PlannedTrial) -> Outcome:
        """Where a trial stands."""
        return outcome_of(planned, self.prepared)


def open_funnel(prepared: PreparedSweep) -> Funnel:
    """The funnel of a sweep, narrowing as it did when it was begun.

    Its rungs come from the store's finished trials of the same scale and budget, if they tell
    any. They are kept: what the funnel itself trains must not change them halfway.
    """
    rivals, alone = contests(prepared.trials)
    with_ladders = tuple((contest, _ladder(contest, prepared)) for contest in rivals)
    return Funnel(contests=with_ladders, alone=alone, prepared=prepared)


def _ladder(contest: Bracket, prepared: PreparedSweep) -> HalvingSchedule:
    plan, store, finalists = prepared.plan, prepared.store, prepared.plan.options.trials
    place = (
        *("sweeps", plan.sweep.name, plan.scale.name, "funnels"),
        f"{digest({'names': list(contest.contenders), 'finalists': finalists})}.json",
    )
    kept = store.load(HalvingSchedule, *place)
    if kept is not None:
        return kept
    budget = contest.spec(next(iter(contest.contenders))).train.recipe.budget_tokens
    evidence = [
        grid
        for grid in grids(finished_trials(store))
        if (grid.scale, grid.budget_tokens) == (contest.scale.name, budget)
    ]
    shares = proposed(evidence)
    untrained = [name for name in contest.contenders if store.trained(name) is None]
    steps = ladder(len(untrained), finalists, shares or DEFAULT_SHARES)
    if shares:
        sets = sum(len(grid.sets) for grid in evidence)
        steps = replace(steps, origin=f"as {sets} finished layer sets settled")
    store.save(steps, *place)
    return steps


def contests(
    planned: Sequence[PlannedTrial],
) -> tuple[tuple[Bracket, ...], tuple[PlannedTrial, ...]]:
    """The contests of a plan, and the trials that have no rival: controls and the like.

    Args:
        planned: its distinct trials, with every layer score known.
    """
    alike: dict[object, dict[TrialRequest, list[PlannedTrial]]] = {}
    alone = []
    for each in planned:
        request = each.cells[0].request
        if request.location == NONE or request.budget == 0 or request.start != FROM_BASE:
            alone.append(each)
            continue
        one_seed = replace(request, seed=0)
        shared = replace(
            one_seed, location="", gap=0, order="", loss="", teacher="", peak_lr="scale"
        )
        alike.setdefault((each.scale.name, shared), {}).setdefault(one_seed, []).append(each)
    found = []
    for rivals in alike.values():
        if len(rivals) == 1:
            alone += next(iter(rivals.values()))
        else:
            found.append(_contest(list(rivals.values())))
    return tuple(found), tuple(alone)


def _contest(rivals: Sequence[Sequence[PlannedTrial]]) -> Bracket:
    first = rivals[0][0].cells[0]
    age, count = format_age(first.request.age), first.request.count
    contenders = {
        each[0].trial.trial_id: tuple(each)
        for each in rivals
        if isinstance(each[0].trial, TrialSpec)
    }
    return Bracket(title=f"{first.scale.name}, age {age}, count {count}", contenders=contenders)


def standing(
    contest: Bracket, ladder: HalvingSchedule, prepared: PreparedSweep, failed: Collection[str] = ()
) -> BracketState:
    """How far a contest has come, by what the store holds.

    Args:
        contest: whose.
        ladder: how it narrows.
        prepared: its store has the losses without training, and those of the rungs.
        failed: contenders that could not be trained further in this run; they leave.
    """
    stages, store = range(ladder.to_the_end + 1), prepared.store
    losses = [_losses(contest, ladder, stage, prepared) for stage in stages]
    passed = [_further(contest, ladder, stage, store) - losses[stage].keys() for stage in stages]
    for stage in stages[1:]:
        left = set(failed) & contest.contenders.keys() - losses[stage].keys() - passed[stage]
        losses[stage] |= dict.fromkeys(left, math.inf)
    climbed = advance(list(contest.contenders), ladder.keeps, losses[:-1], passed[:-1])
    return climbed if climbed.missing else finish(climbed, losses[-1], ladder.finalists)


def stop_at(
    contest: Bracket, ladder: HalvingSchedule, name: str, stage: int
) -> tuple[TrialSpec, int]:
    """A contender's trial, and after how many tokens it stops for a stage."""
    spec = contest.spec(name)
    if stage in (0, ladder.to_the_end):
        return spec, spec.train.recipe.total_tokens if stage else 0
    return spec, rung_tokens(spec.plan, spec.train.recipe, ladder.shares[stage - 1])


def _losses(
    contest: Bracket, ladder: HalvingSchedule, stage: int, prepared: PreparedSweep
) -> dict[str, float]:
    """Nats per token at a stage, on the documents to select on, of those that have come there."""
    base, store = _base_sha256(contest, prepared.artifacts), prepared.store
    evaluation = contest.scale.evaluation
    found: dict[str, float | None] = {}
    for name in contest.contenders:
        spec, tokens = stop_at(contest, ladder, name, stage)
        if stage == ladder.to_the_end:
            end = outcome_of(contest.contenders[name][0], prepared)
            found[name] = final_nll(end, "selection") if isinstance(end, Finished) else None
        elif stage:
            found[name] = selection_nll(rung_path(spec, tokens, evaluation, store), store)
        else:
            corpus = spec.train.corpus_sha256
            place = cut_path(base, spec.plan.layers, corpus, evaluation, store)
            found[name] = selection_nll(place, store)
    return {name: nll for name, nll in found.items() if nll is not None}


def _further(contest: Bracket, ladder: HalvingSchedule, stage: int, store: Store) -> set[str]:
    """Those that are trained further than a stage."""
    found = set()
    for name in contest.contenders:
        spec, tokens = stop_at(contest, ladder, name, stage)
        steps = steps_of(store.path("trials", name, "checkpoints"))
        beyond = any(step * spec.train.recipe.batch_tokens > tokens for step in steps)
        if store.trained(name) is not None or (stage and beyond):
            found.add(name)
    return found


def _base_sha256(contest: Bracket, artifacts: Artifacts) -> str:
    cell = next(iter(contest.contenders.values()))[0].cells[0]
    return artifacts.bases[cell.base.key].weights_sha256


def cut_jobs(contest: Bracket, wanted: Sequence[str], prepared: PreparedSweep) -> list[CutJob]:
    """The work of measuring contenders without training, in pieces."""
    artifacts = prepared.artifacts
    sets = sorted({contest.spec(name).plan.layers for name in wanted})
    return [
        CutJob(
            weights_sha256=_base_sha256(contest, artifacts),
            corpus_sha256=artifacts.corpus.corpus_sha256,
            evaluation=contest.scale.evaluation,
            layer_sets=tuple(sets[start : start + _AT_ONCE]),
            storage=str(prepared.store.root),
        )
        for start in range(0, len(sets), _AT_ONCE)
    ]
