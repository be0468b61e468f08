"""The report of `raydistill rank`: grids, sentences, Markdown and CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from functools import partial

from raydistill.core.units import format_seconds, format_tokens
from raydistill.evaluation.bootstrap import (
    FloatArray,
    PairedBootstrap,
    not_distinguishable_from_best,
    resampled,
)
from raydistill.pruning.ranking_result import GREEDY, Cut, Ranking, layers_text
from raydistill.reports.tables.grids import Section
from raydistill.specs.locations import RANDOM_LOCATIONS, Layers
from raydistill.specs.results import UnitScores

NOT_MISSED_NATS = 0.01  # per token; a layer with a smaller loss increase is not missed
_LISTED = 5  # layers in the sentence on those least missed
_REFUSED = "†"  # of layer sets that cannot leave


def sections(ranking: Ranking) -> tuple[Section, Section]:
    """A line for each layer, and a line for each location."""
    return _by_layer(ranking), _by_location(ranking)


def summary_line(ranking: Ranking) -> str:
    """One line: the model, the text, the device and the seconds taken."""
    has_dear = any(cut.location == GREEDY for cut in ranking.cuts)
    omitted = "" if has_dear else f" {GREEDY!r} is left out: --{GREEDY} measures it too."
    windows = f"{ranking.windows} windows of {ranking.context} tokens"
    return (
        f"{ranking.model}, {ranking.num_layers} layers. Scores on {windows} of {ranking.text}, "
        f"one-shot perplexity on {windows} of it that lie between; {ranking.device}, "
        f"{format_seconds(ranking.seconds)}.{omitted}"
    )


def findings(ranking: Ranking) -> list[str]:
    """Sentences on the layers least and most missed, and on the best location of each count."""
    increase = ranking.loss_increase
    order = ranking.least_missed()
    free = [layer for layer in order if increase[layer] < NOT_MISSED_NATS]
    least = ", ".join(f"{layer} ({increase[layer]:+.3f})" for layer in order[:_LISTED])
    lines = [f"Least missed when one layer is skipped: {least} nats per token."]
    if free:
        few = f" of {len(order)} that may leave" if len(order) > len(free) else ", all of them"
        lines.append(
            f"Hardly missed: {len(free)} layers{few} (below {NOT_MISSED_NATS} nats each alone; "
            "together they may be missed)."
        )
    most = max(range(ranking.num_layers), key=increase.__getitem__)
    lines.append(f"Most missed: layer {most} ({increase[most]:+.3f}).")
    lines += [_best_of_count(ranking, count) for count in ranking.counts]
    if refused := [cut for cut in ranking.cuts if cut.refusal]:
        lines.append(
            f"{_REFUSED} {len({cut.layers for cut in refused})} of the layer sets cannot leave: "
            "they were measured passing on their input. The first, "
            f"{layers_text(refused[0].layers)}: {refused[0].refusal}."
        )
    lines.append(
        "All without training: healing changes the order, so the best here is a candidate, not "
        f"an answer. On {ranking.windows * ranking.context:,} tokens small differences are chance."
    )
    return lines


def next_locations(ranking: Ranking) -> tuple[tuple[str, ...], int]:
    """The most promising locations beside a control and a random set, at the count near a third."""
    third = ranking.num_layers / 3
    count = min(ranking.counts, key=lambda count: abs(count - third))
    possible = [cut for cut in ranking.of_count(count) if not cut.refusal]
    best = [cut.location for cut in _by_rule(possible)][:3]
    random = [cut.location for cut in possible if cut.location in RANDOM_LOCATIONS]
    return ("none", *best, *sorted(random)[:1]), count


def to_markdown(ranking: Ranking, command: str, remark: str) -> str:
    """The whole report as GitHub-flavoured Markdown, with a link to `rank.svg`.

    Args:
        ranking: what was measured.
        command: the sweep that comes next.
        remark: what that takes; empty where nothing is known.
    """
    parts = [f"# Which layers of {ranking.model} matter", summary_line(ranking)]
    parts.append("\n".join(f"- {line}" for line in findings(ranking)))
    parts.append("![scores and one-shot perplexity](rank.svg)")
    for section in sections(ranking):
        rows = [section.headers, ("---", *["---:"] * (len(section.headers) - 1)), *section.rows]
        grid = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"## {section.title}\n\n{grid}")
    parts.append(f"Next{': ' + remark if remark else ''}\n\n    {command}")
    return "\n\n".join(parts) + "\n"


def to_csv(ranking: Ranking) -> str:
    """Every value, one a line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("what", "location", "count", "layers", "value"))
    for layer, value in enumerate(ranking.block_influence):
        writer.writerow(("block_influence", "", 1, layer, value))
    for layer, value in enumerate(ranking.loss_increase):
        writer.writerow(("loss_increase_nats", "", 1, layer, value))
    for length, distances in ranking.spans.items():
        for first, value in enumerate(distances):
            span = f"{first}-{first + length - 1}"
            writer.writerow(("angular_distance", "", length, span, value))
    writer.writerow(("nll_nats", "none", 0, "", ranking.base_nll))
    for cut in ranking.cuts:
        writer.writerow(("nll_nats", cut.location, cut.count, layers_text(cut.layers), cut.nll))
    return file.getvalue()


def perplexity(nats: float) -> str:
    """The exponential of nats in about three digits; `inf` where a float overflows.

    >>> [perplexity(n) for n in (2.0, 7.0, 12.0, 800.0)]
    ['7.39', '1097', '1.6e+05', 'inf']
    """
    value = math.exp(nats) if nats < 700 else math.inf
    if value < 100:
        return f"{value:.3g}"
    return f"{value:.0f}" if value < 10_000 else f"{value:.2g}"


def tied_with_lowest(ranking: Ranking, count: int) -> frozenset[Layers]:
    """The sets of `count` layers whose loss the windows do not tell apart from the lowest.

    By the test of the tables, with windows for documents: fewer than eight tell nothing apart.
    """
    bootstrap = PairedBootstrap(f"{window:06d}" for window in range(ranking.windows))
    by_name = {layers_text(cut.layers): cut for cut in ranking.of_count(count)}
    losses = {name: partial(_nats_by_window, cut.window_nll) for name, cut in by_name.items()}
    losses_R = resampled(losses, bootstrap, len(losses) - 1)
    tied = not_distinguishable_from_best(losses_R, documents=ranking.windows)
    return frozenset(by_name[name].layers for name in tied)


def _nats_by_window(window_nll: tuple[float, ...], bootstrap: PairedBootstrap) -> FloatArray:
    counts = (1,) * len(window_nll)
    return bootstrap.values(UnitScores(units=bootstrap.units, sums=window_nll, counts=counts))


def _best_of_count(ranking: Ranking, count: int) -> str:
    """The sets with the lowest perplexity as printed, beside the random ones."""
    cuts = ranking.of_count(count)
    rules = _by_rule([cut for cut in cuts if not cut.refusal]) or _by_rule(cuts)
    nulls = [cut for cut in cuts if cut.location in RANDOM_LOCATIONS]
    lowest = perplexity(rules[0].nll)
    best = [f"{c.location} ({layers_text(c.layers)})" for c in rules if perplexity(c.nll) == lowest]
    lower = sum(cut.nll < rules[0].nll for cut in nulls)
    null = f"{perplexity(nulls[0].nll)} to {perplexity(nulls[-1].nll)}"
    random = f"{len(nulls)} random sets {null}{f', {lower} of them lower' if lower else ''}"
    ties, sets = len(tied_with_lowest(ranking, count)), len({cut.layers for cut in cuts})
    return (
        f"{count} of {ranking.num_layers}: of the locations, lowest one-shot perplexity at "
        f"{' and '.join(best)}, {lowest} against {perplexity(ranking.base_nll)} of the whole "
        f"model; {random}. Not told apart from the lowest of all: {ties} of {sets} layer sets."
    )


def _by_rule(cuts: Sequence[Cut]) -> list[Cut]:
    """The cuts at locations that are no random sets; of equal sets the first."""
    by_layers: dict[tuple[int, ...], Cut] = {}
    for cut in cuts:
        if cut.location not in RANDOM_LOCATIONS:
            by_layers.setdefault(cut.layers, cut)
    return list(by_layers.values())


def _by_layer(ranking: Ranking) -> Section:
    spans = [f"angular, span of {length}" for length in ranking.spans]
    sizes = ["parameters"] if ranking.block_parameters else []
    return Section(
        title="By layer: block influence; loss increase when it is skipped, nats per token; "
        "angular distance of the span that begins there, * the least",
        headers=("layer", *sizes, "block influence", "loss increase", *spans),
        rows=tuple(
            (
                str(layer),
                *(format_tokens(ranking.block_parameters[layer]) for _ in sizes),
                f"{ranking.block_influence[layer]:.3f}",
                f"{ranking.loss_increase[layer]:+.3f}",
                *_span_cells(ranking, layer),
            )
            for layer in range(ranking.num_layers)
        ),
    )


def _span_cells(ranking: Ranking, layer: int) -> Iterator[str]:
    """The distance of the span of each length that begins at `layer`; none begins at the last."""
    for distances in ranking.spans.values():
        if layer >= len(distances):
            yield "–"
            continue
        least = layer > 0 and distances[layer] == min(distances[1:-1] or distances)
        yield f"{distances[layer]:.3f}" + ("*" if least else "")


def _by_location(ranking: Ranking) -> Section:
    names = list(dict.fromkeys(cut.location for cut in ranking.cuts))
    nll = {(cut.location, cut.count): cut.nll for cut in ranking.cuts}
    layers = {(cut.location, cut.count): cut.layers for cut in ranking.cuts}
    tied = {count: tied_with_lowest(ranking, count) for count in ranking.counts}
    refused = {cut.layers for cut in ranking.cuts if cut.refusal}

    def cell(name: str, count: int) -> str:
        mark = _REFUSED if layers[name, count] in refused else ""
        mark += "*" if layers[name, count] in tied[count] else ""
        return perplexity(nll[name, count]) + mark

    base = perplexity(ranking.base_nll)
    return Section(
        title=f"By location: one-shot perplexity (whole model {base}), * not told apart from the "
        f"lowest (paired bootstrap over {ranking.windows} windows, Holm, 5 %)",
        headers=("location", *(f"{count} leave" for count in ranking.counts)),
        rows=tuple((name, *(cell(name, count) for count in ranking.counts)) for name in names),
    )
