"""What data-driven scores said before any healing, beside what was measured after it."""

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean

from raydistill.evaluation.bootstrap import Entry, Estimate
from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.pruning.layer_choice import LayerChoice
from raydistill.reports.results.cells import ReportCell
from raydistill.reports.tables.sentences import MIN_RANKED
from raydistill.specs.locations import Layers, may_leave


def overlap(choice: LayerChoice) -> float:
    """Share of its layers that two calibration samples agree on, mean over pairs; NaN for one."""
    shares = [
        len(set(left).intersection(right)) / choice.request.count
        for left, right in itertools.combinations(choice.samples, 2)
    ]
    return fmean(shares) if shares else math.nan


def agreement(choice: LayerChoice) -> float:
    """Kendall tau of the values of two samples, mean over pairs; NaN for one, or without values.

    Over the layers that may leave: the two ends, mostly far above, would flatter it.
    """
    num_layers = len(choice.values[0]) if choice.values else 0
    leaving = may_leave(num_layers, allow_ends=choice.request.allow_ends)
    taus = [
        kendall_tau([left[layer] for layer in leaving], [right[layer] for layer in leaving])
        for left, right in itertools.combinations(choice.values, 2)
    ]
    return fmean(taus) if taus else math.nan


def stability(choice: LayerChoice) -> str:
    """How much the layers depend on the training windows that were read, in words."""
    name, number = choice.request.score, len(choice.samples)
    if number < 2:
        return f"{name}: how steady it is was not seen, the corpus gave one calibration sample"
    ranked = agreement(choice)
    tau = f", Kendall tau of their values {ranked:+.2f}" if math.isfinite(ranked) else ""
    return (
        f"{name}: {number} disjoint calibration samples share {100 * overlap(choice):.0f} % of "
        f"the layers{tau} (means over pairs)"
    )


def predictions(lost: Iterable[tuple[ReportCell, Entry]]) -> tuple[str, ...]:
    """How well the values of each score rank the layer sets that were measured, in sentences.

    A score predicts for a set the sum of its layers' values. Sets are ranked among those of
    one size that were trained alike, where there are four or more.

    Args:
        lost: cells of one base, recipe and data, with the delta_nll of each against the base.
    """
    measured = list(lost)
    values = {
        cell.choice.request.score: cell.choice.values[0]
        for cell, _ in measured
        if cell.choice and cell.choice.values
    }
    said = [
        _ranked(values, by_layers)
        for by_layers in _trained_alike(measured)
        if len(by_layers) >= MIN_RANKED
    ]
    return tuple(sentence for sentence in said if sentence)


def _trained_alike(measured: Iterable[tuple[ReportCell, Entry]]) -> list[dict[Layers, float]]:
    """What each set of layers lost, by size of the set and by what the cells were asked besides."""
    removal = ("location", "count", "seed")
    groups: dict[Hashable, dict[Layers, float]] = {}
    for cell, lost in measured:
        if cell.layers and isinstance(lost, Estimate):
            besides = {a: v for a, v in cell.values.items() if a not in removal}
            trained = (cell.gap_tokens, cell.train.loss, cell.train.recipe)
            kind = (len(cell.layers), trained, frozenset(besides.items()))
            groups.setdefault(kind, {})[cell.layers] = lost.value
    return list(groups.values())


def _ranked(values: Mapping[str, Sequence[float]], lost: Mapping[Layers, float]) -> str:
    """The sentence on sets of one size; empty where no score tells any two of them apart."""
    taus = {
        score: kendall_tau([sum(of[x] for x in layers) for layers in lost], list(lost.values()))
        for score, of in sorted(values.items())
    }
    said = [f"{score} {tau:+.2f}" for score, tau in taus.items() if math.isfinite(tau)]
    if not said:
        return ""
    size = len(next(iter(lost)))
    return (
        f"What scores said before healing (the sum over the layers that leave) against delta_nll "
        f"after it, Kendall tau over {len(lost)} sets of {size} layers: {', '.join(said)}."
    )
