"""How a funnel and a search end, in words: which set, what is tied with it, what would part them.

Chosen on one half of the held-out documents, said of the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import (
    FloatArray,
    Missing,
    PairedBootstrap,
    estimate,
    not_distinguishable_from_best,
)
from raydistill.evaluation.document_split import half
from raydistill.evaluation.scoring import PERPLEXITY
from raydistill.evaluation.statistical_power import (
    DocumentsAreTheLimit,
    SeedsNeeded,
    seeds_to_separate,
)
from raydistill.planning.outcomes import delta_nll, final_nll, outcome_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search.brackets import Bracket, Funnel
from raydistill.planning.search.halving import BracketState
from raydistill.planning.search.selection import Winner, name_of
from raydistill.specs.results import Finished, UnitScores

MOST_PAIRS = 3
"""Of which it is said what would tell them apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A layer set that was trained to the end with some seeds."""

    name: str
    ends: Mapping[int, Finished]

    @property
    def selection(self) -> float:
        """Nats per token on the documents to select on; the mean over seeds."""
        return fmean([final_nll(end, "selection") for end in self.ends.values()])

    @property
    def delta_nll(self) -> float:
        """Nats per token lost on the documents reported on; the mean over seeds."""
        return fmean([delta_nll(end, "report") for end in self.ends.values()])

    def losses(self, bootstrap: PairedBootstrap) -> dict[int, FloatArray]:
        """Nats per token on the documents reported on, as resampled, by seed."""
        return {seed: bootstrap.values(_reported(end)) for seed, end in self.ends.items()}


def funnel_lines(funnel: Funnel) -> Iterator[str]:
    """For every contest: this set, these are tied with it, this much more would part them."""
    climbs = funnel.climbs()
    for (contest, _), climb in zip(funnel.contests, climbs, strict=True):
        yield from _contest_lines(contest, climb, funnel)


def _contest_lines(contest: Bracket, climb: BracketState, funnel: Funnel) -> Iterator[str]:
    found = [_trained(contest.contenders[m], contest, funnel) for m in climb.members]
    seeds = sorted({seed for each in found for seed in each.ends})
    whole = [each for each in found if sorted(each.ends) == seeds]
    if climb.missing or not whole:
        yield f"{contest.title}: no layer set was trained to the end with every seed."
        return
    best = min(whole, key=lambda each: each.selection)
    bootstrap = _bootstrap(whole)
    losses = {each.name: each.losses(bootstrap) for each in whole}
    level = not_distinguishable_from_best(
        {name: bootstrap.over_seeds(by_seed) for name, by_seed in losses.items()},
        documents=len(bootstrap.units),
    )
    yield (
        f"{contest.title}: {best.name}, {best.delta_nll:+.4f} nats per token against the base "
        f"({_seeds(seeds)})."
    )
    if best.name not in level:
        yield f"  On the documents that were not selected on, better: {', '.join(sorted(level))}."
        return
    tied = [each for each in whole if each.name in level and each is not best]
    if not tied:
        others = len(whole) - 1
        worse = (
            "1 other finalist is worse" if others == 1 else f"{others} other finalists are worse"
        )
        yield f"  Nothing is tied with it: {worse}."
        return
    named = (f"{each.name} {each.delta_nll:+.4f}" for each in tied)
    yield f"  Not distinguishable from it: {', '.join(named)}."
    for other in tied[:MOST_PAIRS]:
        between = {s: losses[best.name][s] - losses[other.name][s] for s in seeds}
        yield f"  {_parting(best, other, between)}"


def _parting(best: Finalist, other: Finalist, between: Mapping[int, FloatArray]) -> str:
    """What would tell two sets apart."""
    pair = f"{best.name} and {other.name}"
    needed = seeds_to_separate(between)
    if isinstance(needed, Missing):
        return f"What would part {pair} is not known: {needed.reason} (try --seed 1,2,3)."
    if isinstance(needed, DocumentsAreTheLimit):
        return f"No number of seeds would part {pair}: {needed.times:.2g} times the documents may."
    assert isinstance(needed, SeedsNeeded), needed
    more = max(0, needed.seeds - len(between))
    cost = next(iter(best.ends.values())).result.trained.cost
    tokens = format_tokens(int(float(f"{2 * more * cost.tokens:.3g}")))
    return (
        f"To part {pair}: about {more} more seeds of each, {tokens} tokens, "
        f"{2 * more * cost.flops_exact:.2g} FLOPs."
    )


def winner_lines(found: Winner, prepared: PreparedSweep) -> Iterator[str]:
    """How a search's winner does on new seeds, against the best preset."""
    cells = [found.winner.cells[0], found.preset.cells[0]]
    best, preset = (
        _ends(prepared.with_cells(found.anew(each)).trials, name_of(each.cells[0], cells), prepared)
        for each in (found.winner, found.preset)
    )
    if found.is_preset:
        yield f"{found.contest}: the search found nothing better than the preset {best.name}."
        return
    seeds = sorted(best.ends.keys() & preset.ends.keys())
    if not seeds:
        yield f"{found.contest}: the winner {best.name} has no finished trial on new seeds."
        return
    bootstrap = _bootstrap([best, preset])
    ours_R, theirs_R = (
        bootstrap.over_seeds({seed: each.losses(bootstrap)[seed] for seed in seeds})
        for each in (best, preset)
    )
    regret = estimate(ours_R - theirs_R, "the held-out loss is not a number")
    said = (
        "unknown"
        if isinstance(regret, Missing)
        else f"{regret.value:+.4f} [{regret.low:+.4f} {regret.high:+.4f}] nats per token"
    )
    yield (
        f"{found.contest}: the winner {best.name} against the best preset {preset.name}, both "
        f"trained anew ({_seeds(seeds)}): regret {said} (negative: the winner is better)."
    )


def _trained(trials: Sequence[PlannedTrial], contest: Bracket, funnel: Funnel) -> Finalist:
    varied = [each[0].cells[0] for each in contest.contenders.values()]
    return _ends(trials, name_of(trials[0].cells[0], varied), funnel.prepared)


def _ends(trials: Iterable[PlannedTrial], name: str, prepared: PreparedSweep) -> Finalist:
    ends = {each.cells[0].request.seed: outcome_of(each, prepared) for each in trials}
    return Finalist(
        name=name, ends={seed: end for seed, end in ends.items() if isinstance(end, Finished)}
    )


def _bootstrap(trained: Sequence[Finalist]) -> PairedBootstrap:
    ends = [end for each in trained for end in each.ends.values()]
    return PairedBootstrap(unit for end in ends for unit in _reported(end).units)


def _reported(end: Finished) -> UnitScores:
    return half(end.after[PERPLEXITY], "report", end.before[PERPLEXITY].units)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
