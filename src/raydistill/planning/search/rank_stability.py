"""How early a ranking settles: the funnel's rungs, from trials that were trained to the end.

A curve has held-out points at some shares of the budget, on a few windows of all held-out
documents. What a trial came to in the end is measured on many windows: one half of the documents
is selected on, the other is reported (METHOD 6). Only trials whose layers all left at once are
evidence: at a share of their budget they had been healing for that share.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.planning.outcomes import final_nll
from raydistill.planning.search.halving import HalvingSchedule, advance
from raydistill.specs.locations import LOCATIONS, pick
from raydistill.specs.results import Finished, Trained
from raydistill.specs.trial import ExternalBase

SHARES = (0.05, 0.1, 0.25, 0.5)
"""Where a ranking may have settled; the curves have points there (`train.HELDOUT_AT`)."""

TOLERANCE = 0.01
"""Nats per token that a decision may cost: 1 % of perplexity."""

MIN_SETS = 3
"""With fewer layer sets there is no ranking to speak of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Healed:
    """One layer set with one seed: held-out nats per token on its way, and in the end."""

    on_the_way: Mapping[float, float]  # by share of the budget; 0 is right after the cut
    selection: float
    report: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Finished trials that differ in their layers and seeds alone."""

    title: str
    scale: str
    num_layers: int
    warm_tokens: int
    budget_tokens: int
    sets: Mapping[str, Mapping[int, Healed]]  # by layers, then seed; each has the same seeds

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the data order, the same for every set."""
        return tuple(next(iter(self.sets.values())))

    def report(self, name: str) -> float:
        """What a set came to, on the documents reported on; the mean over seeds."""
        return fmean(healed.report for healed in self.sets[name].values())

    def selection(self, name: str) -> float:
        """The same on the documents to select on."""
        return fmean(healed.selection for healed in self.sets[name].values())

    def on_the_way(self, share: float, seed: int) -> dict[str, float]:
        """Held-out nats of every set at a share of the budget, with one seed."""
        return {name: by_seed[seed].on_the_way[share] for name, by_seed in self.sets.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a ranking at a share of the budget is worth; means over the seeds."""

    share: float
    tau: float  # Kendall's, with the final order
    best_regret: float  # nats per token: of the best so far, against the best in the end
    half_regret: float  # of the best in the end among the better half so far


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What a funnel would have come to on a finished grid; means over the seed of its rungs."""

    chosen: tuple[str, ...]  # by seed
    regret: float  # nats per token against the best of the grid, on the documents reported on
    worst_regret: float
    token_share: float  # of the tokens that the grid trained


def grids(finished: Iterable[Finished]) -> tuple[Grid, ...]:
    """The grids among finished trials, those with fewer than `MIN_SETS` layer sets left out."""
    alike: dict[object, list[Finished]] = {}
    for each in finished:
        if _is_evidence(each.result.trained):
            alike.setdefault(_shared(each.result.trained), []).append(each)
    found = [grid for trials in alike.values() for grid in _grid(trials)]
    return tuple(sorted(found, key=lambda grid: grid.title))


def _is_evidence(trained: Trained) -> bool:
    recipe, drops = trained.spec.train.recipe, trained.spec.plan.drops
    at_once = {drop.at_tokens for drop in drops} == {recipe.warm_phase_tokens}
    points = {_share(trained, point.tokens) for point in trained.heldout_curve}
    return isinstance(trained.spec.base, ExternalBase) and at_once and points >= {0, *SHARES}


def _share(trained: Trained, tokens: int) -> float:
    """The share of the budget that a point of the curve stands for, as the trainer rounded it."""
    recipe = trained.spec.train.recipe
    steps = recipe.budget_tokens // recipe.batch_tokens
    step = (tokens - recipe.warm_phase_tokens) // recipe.batch_tokens
    near = (share for share in (0.0, *SHARES, 1.0) if round(share * steps) == step)
    return next(near, math.nan)


def _shared(trained: Trained) -> object:
    """All of a trial but its layers and its seed."""
    spec = trained.spec
    train = replace(spec.train, seed=0)
    return spec.base, spec.teacher, train, len(spec.plan.drops)


def _grid(trials: Sequence[Finished]) -> list[Grid]:
    """One grid of the sets that have the usual seeds, or none."""
    sets: dict[str, dict[int, Healed]] = {}
    for each in trials:
        spec = each.result.trained.spec
        name = ",".join(map(str, spec.plan.layers))
        sets.setdefault(name, {})[spec.train.seed] = _healed(each)
    seeds = {seed for by_seed in sets.values() for seed in by_seed}
    usual = sorted(s for s in seeds if 2 * sum(s in by for by in sets.values()) >= len(sets))
    whole = {
        name: {seed: by_seed[seed] for seed in usual}
        for name, by_seed in sets.items()
        if usual and by_seed.keys() >= set(usual)
    }
    if len(whole) < MIN_SETS:
        return []
    spec = trials[0].result.trained.spec
    assert isinstance(spec.base, ExternalBase), spec
    recipe = spec.train.recipe
    loss = "" if spec.train.loss == "lm" else f", loss {spec.train.loss}"
    count = len(spec.plan.drops)
    return [
        Grid(
            title=f"{spec.base.name}, age {spec.base.revision}, count {count}{loss}",
            scale=spec.base.name,
            num_layers=trials[0].result.trained.model.num_layers,
            warm_tokens=recipe.warm_phase_tokens,
            budget_tokens=recipe.budget_tokens,
            sets=whole,
        )
    ]


def _healed(finished: Finished) -> Healed:
    trained = finished.result.trained
    return Healed(
        on_the_way={_share(trained, p.tokens): p.nll for p in trained.heldout_curve},
        selection=final_nll(finished, "selection"),
        report=final_nll(finished, "report"),
    )


def settling_rungs(grid: Grid) -> tuple[Settled, ...]:
    """How much of the final order stands at each of `SHARES`, and at the end.

    The last one is chosen by the other half of the documents: what is lost there is lost to
    measuring, not to early stopping.
    """
    final = {name: grid.report(name) for name in grid.sets}
    ways = {share: [grid.on_the_way(share, seed) for seed in grid.seeds] for share in SHARES}
    ways[1.0] = [
        {name: by_seed[seed].selection for name, by_seed in grid.sets.items()}
        for seed in grid.seeds
    ]
    return tuple(
        Settled(
            share=share,
            tau=fmean(kendall_tau([way[n] for n in final], list(final.values())) for way in found),
            best_regret=fmean(_regret(way, final, 1) for way in found),
            half_regret=fmean(_regret(way, final, -(-len(final) // 2)) for way in found),
        )
        for share, found in ways.items()
    )


def _regret(way: Mapping[str, float], final: Mapping[str, float], keep: int) -> float:
    kept = sorted(way, key=way.__getitem__)[:keep]
    return min(final[name] for name in kept) - min(final.values())


def proposed(evidence: Sequence[Grid], tolerance: float = TOLERANCE) -> tuple[float, ...]:
    """The funnel's rungs: where it may halve, and where it may choose; none without evidence.

    The first is the earliest share at which keeping the better half costs at most `tolerance`
    in every grid, the second the earliest at which keeping the best alone does. What is
    nowhere that cheap gets no rung.
    """
    tables = [settling_rungs(grid) for grid in evidence]
    rungs = []
    for measure in ("half_regret", "best_regret"):
        good = [
            share
            for place, share in enumerate(SHARES)
            if tables and all(getattr(table[place], measure) <= tolerance for table in tables)
        ]
        rungs += good[:1]
    return tuple(sorted(set(rungs)))


def replay(grid: Grid, ladder: HalvingSchedule) -> Replayed:
    """The funnel on a finished grid, without training: once with each seed at its rungs.

    The finalists are trained with every seed; the best of them on the documents to select on
    is chosen. The score without training is the point right after the cut.
    """
    final = {name: grid.report(name) for name in grid.sets}
    walks = [_walk(grid, ladder, seed) for seed in grid.seeds]
    regrets = [final[name] - min(final.values()) for name, _ in walks]
    total = len(grid.sets) * len(grid.seeds) * (grid.warm_tokens + grid.budget_tokens)
    return Replayed(
        chosen=tuple(name for name, _ in walks),
        regret=fmean(regrets),
        worst_regret=max(regrets),
        token_share=fmean(tokens for _, tokens in walks) / total,
    )


def _walk(grid: Grid, ladder: HalvingSchedule, seed: int) -> tuple[str, float]:
    """The set that the funnel chooses, and the tokens it trains on the way."""
    stages = [grid.on_the_way(share, seed) for share in (0.0, *ladder.shares)]
    tokens = 0.0
    before = -grid.warm_tokens
    for stage, share in enumerate((*ladder.shares, 1.0), start=1):
        members = advance(list(grid.sets), ladder.keeps[:stage], stages[:stage]).members
        reached = share * grid.budget_tokens
        tokens += len(members) * (reached - before)
        before = round(reached)
    tokens += len(members) * (len(grid.seeds) - 1) * (grid.warm_tokens + grid.budget_tokens)
    return min(members, key=grid.selection), tokens


def named(layers: str, num_layers: int) -> str:
    """A layer set by the preset that takes it, if one does.

    >>> named("1,2,3,4", 12), named("1,2,4", 12)
    ('input', '1,2,4')
    """
    taken = [int(layer) for layer in layers.split(",")]
    same = [name for name in LOCATIONS if sorted(pick(name, num_layers, len(taken))) == taken]
    return same[0] if same else layers
