"""Successive halving of layer sets: many are scored untrained, few are trained to the end.

After scoring, and at each rung (a share of the budget), the better contenders go on and the
others stop: successive halving (Jamieson & Talwalkar, 2016), one bracket of Hyperband (Li et al.,
2018). All is decided by losses in the store, so a search that is repeated decides alike.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.core.errors import UsageError
from raydistill.planning.resolve import PlannedTrial
from raydistill.specs.locations import NONE
from raydistill.specs.trial import FROM_BASE, DropPlan, Recipe, TrialRequest

DEFAULT_SHARES = (0.05, 0.25)  # of the budget; used until there is evidence
FINALISTS = 3  # layer sets that are trained to the end by default


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingSchedule:
    """The rungs of a bracket, and how many contenders go on from each.

    Attributes:
        shares: the rungs, as shares of the budget, ascending and between 0 and 1.
        keeps: how many go on: after scoring without training, and after each rung.
        finalists: how many, once trained to the end with one seed, get the other seeds.
        origin: where these shares come from, in words.
    """

    shares: tuple[float, ...]
    keeps: tuple[int, ...]
    finalists: int
    origin: str = "by default"

    @property
    def trainings(self) -> float:
        """What the first seeds train, in whole budgets, if none was trained before."""
        ends = (*self.shares, 1.0)
        steps = (end - start for start, end in zip((0.0, *self.shares), ends, strict=True))
        return sum(keep * step for keep, step in zip(self.keeps, steps, strict=True))

    @property
    def final_stage(self) -> int:
        """The last stage, in which contenders train to the end; the other seeds follow it."""
        return len(self.keeps)


@dataclass(frozen=True, kw_only=True, slots=True)
class BracketState:
    """The present stage of a bracket.

    Attributes:
        stage: 0 is scoring without training, 1 the first rung, and so on; after the last rung
            come training to the end, and the other seeds.
        members: the contenders of this stage.
        missing: those of them whose loss at this stage is not known yet.
    """

    stage: int
    members: tuple[str, ...]
    missing: tuple[str, ...]


def halving_schedule(
    contenders: int, finalists: int = FINALISTS, shares: Sequence[float] = DEFAULT_SHARES
) -> HalvingSchedule:
    """A schedule that narrows by about the same factor at every stage, down to `finalists`.

    Raises:
        UsageError: if a share is no part of the budget, or they do not ascend.

    >>> halving_schedule(64).keeps
    (23, 8, 3)
    """
    if list(shares) != sorted(set(shares)) or not all(0 < share < 1 for share in shares):
        raise UsageError(f"rungs {shares}: ascending shares of the budget, between 0 and 1")
    stages = len(shares) + 1
    factor = (min(finalists, contenders) / max(contenders, 1)) ** (1 / stages)
    keeps = (round(contenders * factor**stage) for stage in range(1, stages + 1))
    return HalvingSchedule(shares=tuple(shares), keeps=tuple(keeps), finalists=finalists)


def advance(
    contenders: Sequence[str],
    keeps: Sequence[int],
    losses: Sequence[Mapping[str, float]],
    passed: Sequence[Collection[str]] = (),
) -> BracketState:
    """The first stage that lacks losses, or the last.

    Args:
        contenders: by name; of equals the first goes on.
        keeps: as in `HalvingSchedule`.
        losses: known so far, by name, for each stage but the last; a contender that failed there
            has an infinite one, and leaves.
        passed: for each of these stages, the contenders trained beyond it without a loss there.
            They go on in addition to those kept, and cost nothing.
    """
    members = tuple(contenders)
    for stage, (keep, known) in enumerate(zip(keeps, losses, strict=True)):
        unknown = tuple(m for m in members if m not in known)
        missing = tuple(m for m in unknown if not passed or m not in passed[stage])
        if missing:
            return BracketState(stage=stage, members=members, missing=missing)
        ranked = sorted((m for m in members if m in known), key=known.__getitem__)
        members = (*(m for m in ranked[:keep] if math.isfinite(known[m])), *unknown)
    return BracketState(stage=len(keeps), members=members, missing=())


def finish(state: BracketState, losses: Mapping[str, float], finalists: int) -> BracketState:
    """From the last rung to the finalists, once all members are trained to the end.

    Contenders trained to the end before become members too, at no cost.

    Args:
        state: past all rungs.
        losses: in the end, by name, of all contenders trained so far; infinite for failed ones.
        finalists: how many get the other seeds.
    """
    members = tuple(dict.fromkeys((*state.members, *losses)))
    if missing := tuple(m for m in members if m not in losses):
        return BracketState(stage=state.stage, members=members, missing=missing)
    ranked = sorted((m for m in members if math.isfinite(losses[m])), key=losses.__getitem__)
    return BracketState(stage=state.stage + 1, members=tuple(ranked[:finalists]), missing=())


def rivals_of(
    trials: Sequence[PlannedTrial],
) -> tuple[list[list[list[PlannedTrial]]], list[PlannedTrial]]:
    """Groups of rivals, each by its seeds, and the trials that have none: controls and the like.

    Locations, gaps, orders, losses, teachers and rates compete; all else is equal.
    """
    alike: dict[object, dict[TrialRequest, list[PlannedTrial]]] = {}
    alone = []
    for planned in trials:
        request = planned.cells[0].request
        is_rival = request.location != NONE and request.budget and request.start == FROM_BASE
        if planned.is_unchosen or not is_rival:
            alone.append(planned)
            continue
        one_seed = replace(request, seed=0)
        lengths = tuple(item for item in request.settings if item[0].endswith("_tokens"))
        rivals_share = replace(one_seed, location="", gap=0, order="", loss="", teacher="")
        shared = replace(rivals_share, peak_lr="scale", settings=lengths)
        rivals = alike.setdefault((planned.scale.name, shared), {})
        rivals.setdefault(one_seed, []).append(planned)
    groups = [list(rivals.values()) for rivals in alike.values() if len(rivals) > 1]
    for rivals in alike.values():
        alone += next(iter(rivals.values())) if len(rivals) == 1 else []
    return groups, alone


def rung_tokens(plan: DropPlan, recipe: Recipe, share: float) -> int:
    """The tokens after which a trial stops at a rung: a share of those after its last removal.

    So no contender is compared while it still has layers that it will lose. Without a gap it is
    that share of the budget. Whole steps, at least one and at least one before the end.
    """
    cut = max((d.at_tokens for d in plan.drops), default=recipe.warm_phase_tokens)
    steps = (recipe.total_tokens - cut) // recipe.batch_tokens
    return cut + min(max(1, round(share * steps)), steps - 1) * recipe.batch_tokens


def percents(shares: Sequence[float]) -> str:
    """Shares as people write them.

    >>> percents((0.05, 0.25))
    '5 %, 25 %'
    """
    return ", ".join(f"{100 * share:g} %" for share in shares)
