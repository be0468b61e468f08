"""The conclusions of a search in words: the best set, what is tied with it, how to separate them.

A set is chosen on one half of the held-out documents, and reported on the other.
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
    resampled,
)
from raydistill.evaluation.document_split import half
from raydistill.evaluation.statistical_power import (
    DocumentsAreTheLimit,
    SeedsNeeded,
    seeds_to_separate,
)
from raydistill.planning.outcomes import delta_nll, final_nll, outcome_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search.brackets import Bracket, HalvingSearch
from raydistill.planning.search.halving import BracketState
from raydistill.planning.search.selection import Winner, name_of
from raydistill.specs.results import Finished, UnitScores, loss_by_document

MOST_PAIRS = 3  # of tied sets that are told how to separate


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
        """Nats per token on the documents reported on, resampled, by seed."""
        return {seed: bootstrap.values(_reported(end)) for seed, end in self.ends.items()}

    def mean_loss(self, bootstrap: PairedBootstrap) -> FloatArray:
        """The mean of `losses` over the seeds."""
        return bootstrap.over_seeds(self.losses(bootstrap))


def halving_lines(funnel: HalvingSearch) -> Iterator[str]:
    """For every bracket: the best set, those tied with it, and how much would separate them."""
    for (bracket, _), state in zip(funnel.brackets, funnel.states(), strict=True):
        yield from _bracket_lines(bracket, state, funnel.prepared)


def _bracket_lines(bracket: Bracket, state: BracketState, prepared: PreparedSweep) -> Iterator[str]:
    all_cells = [trials[0].cells[0] for trials in bracket.contenders.values()]
    finalists = [
        _finalist(trials, name_of(trials[0].cells[0], all_cells), prepared)
        for trials in (bracket.contenders[member] for member in state.members)
    ]
    seeds = sorted({seed for finalist in finalists for seed in finalist.ends})
    complete = [finalist for finalist in finalists if sorted(finalist.ends) == seeds]
    if state.missing or not complete:
        yield f"{bracket.title}: no layer set was trained to the end with every seed."
        return
    best = min(complete, key=lambda finalist: finalist.selection)
    bootstrap = _bootstrap(complete)
    losses = {finalist.name: finalist.losses(bootstrap) for finalist in complete}
    means = {finalist.name: finalist.mean_loss for finalist in complete}
    means_R = resampled(means, bootstrap, len(means) - 1)
    best_set = not_distinguishable_from_best(means_R, documents=len(bootstrap.units))
    yield (
        f"{bracket.title}: {best.name}, {best.delta_nll:+.4f} nats per token against the base "
        f"({_seeds(seeds)})."
    )
    if best.name not in best_set:
        lowest = min(best_set, key=lambda name: float(means_R[name][0]))
        others = ", ".join(sorted(best_set - {lowest}))
        also = f" Not distinguishable from that: {others}." if others else ""
        yield f"  On the documents that were not selected on, {lowest} is better (Holm, 5 %).{also}"
        return
    tied = [other for other in complete if other.name in best_set and other is not best]
    if not tied:
        number = len(complete) - 1
        worse = "1 other finalist is" if number == 1 else f"{number} other finalists are"
        yield f"  Nothing is tied with it: {worse} worse (Holm, 5 %)."
        return
    ties = (f"{other.name} {other.delta_nll:+.4f}" for other in tied)
    yield f"  Not distinguishable from it: {', '.join(ties)}."
    for other in tied[:MOST_PAIRS]:
        differences = {s: losses[best.name][s] - losses[other.name][s] for s in seeds}
        yield f"  {_how_to_separate(best, other, differences)}"


def _how_to_separate(best: Finalist, other: Finalist, differences: Mapping[int, FloatArray]) -> str:
    pair = f"{best.name} and {other.name}"
    needed = seeds_to_separate(differences)
    if isinstance(needed, Missing):
        return f"What would part {pair} is not known: {needed.reason} (try --seed 1,2,3)."
    if isinstance(needed, DocumentsAreTheLimit):
        return f"No number of seeds would part {pair}: {needed.times:.2g} times the documents may."
    assert isinstance(needed, SeedsNeeded), needed
    more = max(0, needed.seeds - len(differences))
    cost = next(iter(best.ends.values())).result.trained.cost
    tokens = format_tokens(int(float(f"{2 * more * cost.tokens:.3g}")))
    return (
        f"To part {pair}: about {more} more seeds of each, {tokens} tokens, "
        f"{2 * more * cost.flops_exact:.2g} FLOPs."
    )


def winner_lines(winner: Winner, prepared: PreparedSweep) -> Iterator[str]:
    """How a search's winner does on new seeds, against the best preset."""
    both = (winner.winner, winner.preset)
    cells = [planned.cells[0] for planned in both]
    best, preset = (
        _finalist(
            prepared.with_cells(winner.anew(planned)).trials,
            name_of(planned.cells[0], cells),
            prepared,
        )
        for planned in both
    )
    if winner.is_preset:
        yield f"{winner.bracket}: the search found nothing better than the preset {best.name}."
        return
    seeds = sorted(best.ends.keys() & preset.ends.keys())
    if not seeds:
        yield f"{winner.bracket}: the winner {best.name} has no finished trial on new seeds."
        return
    bootstrap = _bootstrap([best, preset])
    winner_R, preset_R = (
        bootstrap.over_seeds({seed: finalist.losses(bootstrap)[seed] for seed in seeds})
        for finalist in (best, preset)
    )
    regret = estimate(winner_R - preset_R, "the held-out loss is not a number")
    interval = (
        "unknown"
        if isinstance(regret, Missing)
        else f"{regret.value:+.4f} [{regret.low:+.4f} {regret.high:+.4f}] nats per token"
    )
    yield (
        f"{winner.bracket}: the winner {best.name} against the best preset {preset.name}, both "
        f"trained anew ({_seeds(seeds)}): regret {interval} (negative: the winner is better)."
    )


def _finalist(trials: Iterable[PlannedTrial], name: str, prepared: PreparedSweep) -> Finalist:
    ends = {planned.cells[0].request.seed: outcome_of(planned, prepared) for planned in trials}
    return Finalist(
        name=name, ends={seed: end for seed, end in ends.items() if isinstance(end, Finished)}
    )


def _bootstrap(finalists: Sequence[Finalist]) -> PairedBootstrap:
    ends = [end for finalist in finalists for end in finalist.ends.values()]
    return PairedBootstrap(unit for end in ends for unit in _reported(end).units)


def _reported(end: Finished) -> UnitScores:
    return half(loss_by_document(end.after), "report", loss_by_document(end.before).units)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
