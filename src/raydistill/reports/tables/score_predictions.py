"""How well data-driven scores, read before any healing, predict what is measured after it."""

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
    """Share of the layers that two calibration samples have in common, 0 to 1.

    The mean over pairs of samples; NaN for one sample.
    """
    shares = [
        len(set(left).intersection(right)) / choice.request.count
        for left, right in itertools.combinations(choice.samples, 2)
    ]
    return fmean(shares) if shares else math.nan


def agreement(choice: LayerChoice) -> float:
    """Kendall tau of the values of two samples, −1 to 1, over the layers that may leave.

    The mean over pairs of samples; NaN for one sample, or without values. The two ends, whose
    values are mostly far above, would raise it.
    """
    num_layers = len(choice.values[0]) if choice.values else 0
    leaving = may_leave(num_layers, allow_ends=choice.request.allow_ends)
    taus = [
        kendall_tau([left[layer] for layer in leaving], [right[layer] for layer in leaving])
        for left, right in itertools.combinations(choice.values, 2)
    ]
    return fmean(taus) if taus else math.nan


def stability(choice: LayerChoice) -> str:
    """How much the layers depend on the calibration windows, in words."""
    name, number = choice.request.score, len(choice.samples)
    if number < 2:
        return f"{name}: how steady it is was not seen, the corpus gave one calibration sample"
    tau = agreement(choice)
    values = f", Kendall tau of their values {tau:+.2f}" if math.isfinite(tau) else ""
    return (
        f"{name}: {number} disjoint calibration samples share {100 * overlap(choice):.0f} % of "
        f"the layers{values} (means over pairs)"
    )


def predictions(delta_nll: Iterable[tuple[ReportCell, Entry, bool]]) -> tuple[str, ...]:
    """How well the values of each score rank the layer sets that were measured, in sentences.

    A score predicts for a set the sum of its layers' values. Sets are ranked among those of
    one size that were trained alike, where there are four or more, of which one at least is told
    apart from the best: otherwise there is no order to predict.

    Args:
        delta_nll: cells of one base and text, with the delta_nll of each against the base, and
            whether it is told apart from the best of the table.
    """
    measured = list(delta_nll)
    values = {
        cell.choice.request.score: cell.choice.values[0]
        for cell, _, _ in measured
        if cell.choice and cell.choice.values
    }
    sentences = [
        _correlation(values, by_layers)
        for by_layers in _trained_alike(measured)
        if len(by_layers) >= MIN_RANKED and any(apart for _, apart in by_layers.values())
    ]
    return tuple(filter(None, sentences))


def _trained_alike(
    measured: Iterable[tuple[ReportCell, Entry, bool]],
) -> list[dict[Layers, tuple[float, bool]]]:
    """The delta_nll of each set of layers, by size of the set and by the cells' other settings.

    With each, whether it is told apart from the best.
    """
    removal = ("location", "count", "seed")
    groups: dict[Hashable, dict[Layers, tuple[float, bool]]] = {}
    for cell, entry, apart in measured:
        if cell.layers and isinstance(entry, Estimate):
            others = {axis: v for axis, v in cell.values.items() if axis not in removal}
            training = (cell.gap_tokens, cell.train.loss, cell.train.recipe)
            key = (cell.count, training, frozenset(others.items()))
            groups.setdefault(key, {})[cell.layers] = entry.value, apart
    return list(groups.values())


def _correlation(
    values: Mapping[str, Sequence[float]], measured: Mapping[Layers, tuple[float, bool]]
) -> str:
    """The sentence on sets of one size; empty where no score tells any two of them apart."""
    nats = [value for value, _ in measured.values()]
    taus = {
        score: kendall_tau([sum(by_layer[x] for x in layers) for layers in measured], nats)
        for score, by_layer in sorted(values.items())
    }
    parts = [f"{score} {tau:+.2f}" for score, tau in taus.items() if math.isfinite(tau)]
    if not parts:
        return ""
    size, apart = len(next(iter(measured))), sum(apart for _, apart in measured.values())
    return (
        f"What scores said before healing (the sum over the layers that leave) against delta_nll "
        f"after it, Kendall tau over {len(measured)} sets of {size} layers, {apart} of them told "
        f"apart from the best: {', '.join(parts)}."
    )
