"""What data-driven scores said before any healing, beside what was measured after it."""

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

from raydistill.choices import LayerChoice
from raydistill.locations import Layers, may_leave
from raydistill.report.cells import CONTROL, ReportCell
from raydistill.report.comparison import Comparison
from raydistill.report.words import MIN_RANKED
from raydistill.statistics import Estimate, kendall_tau


def overlap(choice: LayerChoice) -> float:
    """Share of its layers that two calibration samples agree on, mean over pairs; NaN for one."""
    return _mean(
        len(set(left).intersection(right)) / choice.request.count
        for left, right in itertools.combinations(choice.samples, 2)
    )


def agreement(choice: LayerChoice) -> float:
    """Kendall tau of the values of two samples, mean over pairs; NaN for one, or without values.

    Over the layers that may leave: the two ends, mostly far above, would flatter it.
    """
    num_layers = len(choice.values[0]) if choice.values else 0
    leaving = may_leave(num_layers, allow_ends=choice.request.allow_ends)
    return _mean(
        kendall_tau([left[layer] for layer in leaving], [right[layer] for layer in leaving])
        for left, right in itertools.combinations(choice.values, 2)
    )


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


def predictions(
    cells: Sequence[ReportCell],
    comparisons: Sequence[Comparison],
    choices: Sequence[LayerChoice],
) -> tuple[str, ...]:
    """How well the values of each score rank the layer sets that were measured.

    A score predicts for a set the sum of its layers' values. Sets are ranked among those of
    one size that were trained alike.
    """
    values = {c.request.score: c.values[0] for c in choices if c.values}
    return tuple(
        said
        for removed, measured in _measured(cells, comparisons)
        if len(measured) >= MIN_RANKED and (said := _ranked(values, measured, removed))
    )


def _ranked(
    values: Mapping[str, Sequence[float]], measured: Mapping[Layers, float], count: int
) -> str:
    lost = list(measured.values())
    taus = {
        score: kendall_tau([sum(of[layer] for layer in layers) for layers in measured], lost)
        for score, of in sorted(values.items())
    }
    said = [f"{score} {tau:+.2f}" for score, tau in taus.items() if math.isfinite(tau)]
    if not said:
        return ""
    return (
        f"Rank agreement over {len(measured)} sets of {count} layers between the summed values of "
        f"a score before healing and delta_nll after it, Kendall tau: {', '.join(said)}."
    )


def _measured(
    cells: Sequence[ReportCell], comparisons: Sequence[Comparison]
) -> list[tuple[int, dict[Layers, float]]]:
    """Size of the sets and delta_nll by set, for each kind of cell that may be ranked together."""
    groups: dict[Hashable, dict[Layers, float]] = {}
    for cell, comparison in zip(cells, comparisons, strict=True):
        lost = comparison.against_base.delta_nll
        if cell.location != CONTROL and isinstance(lost, Estimate):
            others = {a: v for a, v in cell.values.items() if a not in ("location", "count")}
            kind = (len(cell.layers), cell.gap_tokens, cell.train.loss, frozenset(others.items()))
            groups.setdefault(kind, {})[cell.layers] = lost.value
    return [(len(next(iter(measured))), measured) for measured in groups.values()]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan
