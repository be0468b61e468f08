"""The funnel's decisions: many layer sets are scored untrained, few are trained to the end.

A rung is a share of the budget. At each one the better contenders go on and the others stop
there. Everything is decided from what is kept, so a funnel that is repeated decides alike.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError
from raydistill.specs.trial import DropPlan, Recipe

DEFAULT_SHARES = (0.05, 0.25)
"""Of the budget: a few percent, then a quarter. Used until there is evidence."""

FINALISTS = 3
"""Layer sets that are trained to the end, unless asked otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingSchedule:
    """How a funnel narrows.

    Attributes:
        shares: of the budget, ascending and between 0 and 1: where contenders are compared.
        keeps: how many go on: after scoring without training, and after each rung.
        finalists: how many, once trained to the end with one seed, get the other seeds.
        origin: why these shares, in words.
    """

    shares: tuple[float, ...]
    keeps: tuple[int, ...]
    finalists: int
    origin: str = "by default"

    @property
    def trainings(self) -> float:
        """What the first seeds train, in whole budgets, if none was trained before."""
        ends = (*self.shares[1:], 1.0)
        rest = sum(
            keep * (end - share)
            for keep, share, end in zip(self.keeps[1:], self.shares, ends, strict=True)
        )
        return self.keeps[0] * next(iter(self.shares), 1.0) + rest

    @property
    def to_the_end(self) -> int:
        """The stage in which those that are left train to the end; the other seeds follow."""
        return len(self.keeps)


@dataclass(frozen=True, kw_only=True, slots=True)
class BracketState:
    """How far a funnel has come.

    Attributes:
        stage: 0 is scoring without training, 1 the first rung, and so on; after the last rung
            come training to the end, and the other seeds.
        members: who takes part in it.
        missing: those of them whose loss there is not known yet.
    """

    stage: int
    members: tuple[str, ...]
    missing: tuple[str, ...]


def ladder(
    contenders: int, finalists: int = FINALISTS, shares: Sequence[float] = DEFAULT_SHARES
) -> HalvingSchedule:
    """Fewer by about the same factor at every stage, until `finalists` are left.

    Raises:
        UsageError: if a share is no part of the budget, or they do not ascend.

    >>> ladder(64).keeps
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
    """Go up as far as the losses that are known allow.

    Args:
        contenders: by name; of equals the first goes on.
        keeps: as in `HalvingSchedule`.
        losses: known so far, by name, for each stage but the last; a contender that failed there
            has an infinite one, and leaves.
        passed: for each of these stages, those trained further already without having stopped
            there. They go on, take nobody's place, and cost nothing.
    """
    members = tuple(contenders)
    for stage, (keep, known) in enumerate(zip(keeps, losses, strict=True)):
        missing = tuple(
            m for m in members if m not in known and not (passed and m in passed[stage])
        )
        if missing:
            return BracketState(stage=stage, members=members, missing=missing)
        ranked = sorted((m for m in members if m in known), key=known.__getitem__)
        better = [m for m in ranked[:keep] if math.isfinite(known[m])]
        members = (*better, *(m for m in members if m not in known))
    return BracketState(stage=len(keeps), members=members, missing=())


def finish(climbed: BracketState, losses: Mapping[str, float], finalists: int) -> BracketState:
    """From the last rung to the finalists, once all that take part are trained to the end.

    Whoever is trained to the end anyway takes part too, at no cost.

    Args:
        climbed: through all rungs.
        losses: in the end, by name, of all contenders trained so far; infinite for failed ones.
        finalists: how many get the other seeds.
    """
    members = tuple(dict.fromkeys((*climbed.members, *losses)))
    missing = tuple(m for m in members if m not in losses)
    if missing:
        return BracketState(stage=climbed.stage, members=members, missing=missing)
    better = sorted((m for m in members if math.isfinite(losses[m])), key=losses.__getitem__)
    return BracketState(stage=climbed.stage + 1, members=tuple(better[:finalists]), missing=())


def rung_tokens(plan: DropPlan, recipe: Recipe, share: float) -> int:
    """Where a trial stops at a rung: a share of what it trains after its last removal.

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
