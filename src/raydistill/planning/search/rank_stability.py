"""How early a ranking settles: the rungs for successive halving, from finished trials.

A curve has held-out points at some shares of the budget, on a few windows of all held-out
documents. The final loss is measured on many windows: one half of the documents is selected on,
the other is reported (METHOD 6). Only trials whose layers all left at once are evidence: at a
share of their budget they had been healing for that share.
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

SHARES = (0.05, 0.1, 0.25, 0.5)  # of the budget, where curves have points (`jobs.HELDOUT_AT`)
TOLERANCE = 0.01  # nats per token that a decision may cost: 1 % of perplexity
MIN_SETS = 3  # layer sets in a ranking


@dataclass(frozen=True, kw_only=True, slots=True)
class HealingCurve:
    """Held-out nats per token of one layer set with one seed, during training and in the end."""

    by_share: Mapping[float, float]  # of the budget; 0 is right after the cut
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
    sets: Mapping[str, Mapping[int, HealingCurve]]  # by layers, then seed; all with the same seeds

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the data order, the same for every set."""
        return tuple(next(iter(self.sets.values())))

    def report(self, name: str) -> float:
        """The final loss of a set on the documents reported on; the mean over seeds."""
        return fmean(curve.report for curve in self.sets[name].values())

    def selection(self, name: str) -> float:
        """The final loss of a set on the documents to select on; the mean over seeds."""
        return fmean(curve.selection for curve in self.sets[name].values())

    def at_share(self, share: float, seed: int) -> dict[str, float]:
        """Held-out nats of every set at a share of the budget, with one seed."""
        return {name: by_seed[seed].by_share[share] for name, by_seed in self.sets.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class RungQuality:
    """How well a ranking at a share of the budget predicts the final one; means over the seeds."""

    share: float
    tau: float  # Kendall's, with the final order
    best_regret: float  # nats per token: of the best so far, against the best in the end
    half_regret: float  # of the best in the end among the better half so far


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayResult:
    """What successive halving would choose from a finished grid; means over the rungs' seed."""

    chosen: tuple[str, ...]  # by seed
    regret: float  # nats per token against the best of the grid, on the documents reported on
    worst_regret: float
    token_share: float  # of the tokens that the grid trained


def grids(finished: Iterable[Finished]) -> tuple[Grid, ...]:
    """The grids among finished trials, those with fewer than `MIN_SETS` layer sets left out."""
    alike: dict[object, list[Finished]] = {}
    for trial in finished:
        if _is_evidence(trial.result.trained):
            alike.setdefault(_but_layers_and_seed(trial.result.trained), []).append(trial)
    complete = (grid for trials in alike.values() if (grid := _grid(trials)) is not None)
    return tuple(sorted(complete, key=lambda grid: grid.title))


def _is_evidence(trained: Trained) -> bool:
    recipe, drops = trained.spec.train.recipe, trained.spec.plan.drops
    at_once = {drop.at_tokens for drop in drops} == {recipe.warm_phase_tokens}
    points = {_share(trained, point.tokens) for point in trained.heldout_curve}
    return isinstance(trained.spec.base, ExternalBase) and at_once and points >= {0, *SHARES}


def _share(trained: Trained, tokens: int) -> float:
    """The share of the budget at a point of the curve, whose step the trainer rounded."""
    recipe = trained.spec.train.recipe
    steps = recipe.budget_tokens // recipe.batch_tokens
    step = (tokens - recipe.warm_phase_tokens) // recipe.batch_tokens
    near = (share for share in (0.0, *SHARES, 1.0) if round(share * steps) == step)
    return next(near, math.nan)


def _but_layers_and_seed(trained: Trained) -> object:
    spec = trained.spec
    return spec.base, spec.teacher, replace(spec.train, seed=0), len(spec.plan.drops)


def _grid(trials: Sequence[Finished]) -> Grid | None:
    """The grid of the sets that have the seeds of most sets; None if these are too few."""
    sets: dict[str, dict[int, HealingCurve]] = {}
    for trial in trials:
        spec = trial.result.trained.spec
        name = ",".join(map(str, spec.plan.layers))
        sets.setdefault(name, {})[spec.train.seed] = _curve(trial)
    seeds = {seed for by_seed in sets.values() for seed in by_seed}
    usual = sorted(s for s in seeds if 2 * sum(s in by for by in sets.values()) >= len(sets))
    complete = {
        name: {seed: by_seed[seed] for seed in usual}
        for name, by_seed in sets.items()
        if usual and by_seed.keys() >= set(usual)
    }
    if len(complete) < MIN_SETS:
        return None
    spec = trials[0].result.trained.spec
    assert isinstance(spec.base, ExternalBase), spec
    recipe = spec.train.recipe
    loss = "" if spec.train.loss == "lm" else f", loss {spec.train.loss}"
    count = len(spec.plan.drops)
    return Grid(
        title=f"{spec.base.name}, age {spec.base.revision}, count {count}{loss}",
        scale=spec.base.name,
        num_layers=trials[0].result.trained.model.num_layers,
        warm_tokens=recipe.warm_phase_tokens,
        budget_tokens=recipe.budget_tokens,
        sets=complete,
    )


def _curve(finished: Finished) -> HealingCurve:
    trained = finished.result.trained
    return HealingCurve(
        by_share={_share(trained, point.tokens): point.nll for point in trained.heldout_curve},
        selection=final_nll(finished, "selection"),
        report=final_nll(finished, "report"),
    )


def rung_qualities(grid: Grid) -> tuple[RungQuality, ...]:
    """How well the ranking at each of `SHARES`, and at the end, predicts the final order.

    The last ranking is by the other half of the documents: its regret is due to measuring, not
    to early stopping.
    """
    final = {name: grid.report(name) for name in grid.sets}
    losses = {share: [grid.at_share(share, seed) for seed in grid.seeds] for share in SHARES}
    losses[1.0] = [
        {name: by_seed[seed].selection for name, by_seed in grid.sets.items()}
        for seed in grid.seeds
    ]
    return tuple(
        RungQuality(
            share=share,
            tau=fmean(kendall_tau([nll[n] for n in final], [*final.values()]) for nll in by_seed),
            best_regret=fmean(_regret(nll, final, 1) for nll in by_seed),
            half_regret=fmean(_regret(nll, final, -(-len(final) // 2)) for nll in by_seed),
        )
        for share, by_seed in losses.items()
    )


def _regret(losses: Mapping[str, float], final: Mapping[str, float], keep: int) -> float:
    better = sorted(losses, key=losses.__getitem__)[:keep]
    return min(final[name] for name in better) - min(final.values())


def propose_rungs(evidence: Sequence[Grid], tolerance: float = TOLERANCE) -> tuple[float, ...]:
    """The rungs that finished grids settle: for halving, and for choosing one; none without grids.

    The first is the earliest share at which keeping the better half costs at most `tolerance`
    in every grid, the second the earliest at which keeping the best alone does. A decision that
    is nowhere that cheap gets no rung.
    """
    tables = [rung_qualities(grid) for grid in evidence]
    rungs = []
    for measure in ("half_regret", "best_regret"):
        cheap = [
            rows[0].share
            for rows in zip(*tables, strict=True)
            if all(getattr(row, measure) <= tolerance for row in rows)
        ]
        rungs += [share for share in cheap if share < 1][:1]
    return tuple(sorted(set(rungs)))


def replay(grid: Grid, schedule: HalvingSchedule) -> ReplayResult:
    """Successive halving on a finished grid, without training: once with each seed at its rungs.

    The finalists are trained with every seed; the best of them on the documents to select on
    is chosen. The score without training is the point right after the cut.
    """
    final = {name: grid.report(name) for name in grid.sets}
    choices = [_choose(grid, schedule, seed) for seed in grid.seeds]
    regrets = [final[name] - min(final.values()) for name, _ in choices]
    total = len(grid.sets) * len(grid.seeds) * (grid.warm_tokens + grid.budget_tokens)
    return ReplayResult(
        chosen=tuple(name for name, _ in choices),
        regret=fmean(regrets),
        worst_regret=max(regrets),
        token_share=fmean(tokens for _, tokens in choices) / total,
    )


def _choose(grid: Grid, schedule: HalvingSchedule, seed: int) -> tuple[str, float]:
    """The set that is chosen, and the tokens that are trained for it."""
    losses = [grid.at_share(share, seed) for share in (0.0, *schedule.shares)]
    tokens = 0.0
    start = -grid.warm_tokens
    for stage, share in enumerate((*schedule.shares, 1.0), start=1):
        members = advance(list(grid.sets), schedule.keeps[:stage], losses[:stage]).members
        end = share * grid.budget_tokens
        tokens += len(members) * (end - start)
        start = round(end)
    tokens += len(members) * (len(grid.seeds) - 1) * (grid.warm_tokens + grid.budget_tokens)
    return min(members, key=grid.selection), tokens


def preset_name(layers: str, num_layers: int) -> str:
    """A layer set by the preset that removes it, if one does.

    >>> preset_name("1,2,3,4", 12), preset_name("1,2,4", 12)
    ('input', '1,2,4')
    """
    removed = [int(layer) for layer in layers.split(",")]
    same = [name for name in LOCATIONS if sorted(pick(name, num_layers, len(removed))) == removed]
    return same[0] if same else layers
