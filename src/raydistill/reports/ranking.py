"""What `raydistill rank` found, as tables, words and a picture."""

import csv
import io
import math
import shlex
from collections.abc import Iterator, Sequence

from raydistill.core.units import format_seconds
from raydistill.pruning.ranking_result import DEAR, Cut, Ranking, layers_text
from raydistill.reports.tables.grids import Section
from raydistill.specs.locations import RANDOM_LOCATIONS

NOBODY_MISSES_NATS = 0.01
"""A layer whose loss increase is below this is not missed."""

_SHOWN = 5


def sections(ranking: Ranking) -> tuple[Section, Section]:
    """A line for each layer, and a line for each location."""
    return _by_layer(ranking), _by_location(ranking)


def how(ranking: Ranking) -> str:
    """What was measured, where, and how long it took."""
    has_all = any(cut.location == DEAR for cut in ranking.cuts)
    left_out = "" if has_all else f" {DEAR!r} is left out: --{DEAR} measures it too."
    windows = f"{ranking.windows} windows of {ranking.context} tokens"
    return (
        f"{ranking.model}, {ranking.num_layers} layers. Scores on {windows} of {ranking.text}, "
        f"one-shot perplexity on {windows} of it that lie between; {ranking.device}, "
        f"{format_seconds(ranking.seconds)}.{left_out}"
    )


def words(ranking: Ranking) -> list[str]:
    """What stands out, in sentences."""
    increase = ranking.loss_increase
    order = ranking.least_missed()
    free = [layer for layer in order if increase[layer] < NOBODY_MISSES_NATS]
    shown = ", ".join(f"{layer} ({increase[layer]:+.3f})" for layer in order[:_SHOWN])
    lines = [f"Least missed when one layer is skipped: {shown} nats per token."]
    if free:
        few = f" of {len(order)} that may leave" if len(order) > len(free) else ", all of them"
        lines.append(
            f"Nobody misses {len(free)} layers{few} (below {NOBODY_MISSES_NATS} nats each alone; "
            "together they may be missed)."
        )
    most = max(range(ranking.num_layers), key=increase.__getitem__)
    lines.append(f"Most missed: layer {most} ({increase[most]:+.3f}).")
    lines += [_of_count(ranking, count) for count in ranking.counts]
    lines.append(
        "All without training: healing changes the order, so the best here is a candidate, not "
        f"an answer. On {ranking.windows * ranking.context:,} tokens small differences are chance."
    )
    return lines


def next_command(ranking: Ranking, model_flags: Sequence[str], text_flags: Sequence[str]) -> str:
    """The sweep that trains the most promising locations at the count nearest to a third."""
    third = ranking.num_layers / 3
    count = min(ranking.counts, key=lambda each: abs(each - third))
    best = [cut.location for cut in _named(ranking.of_count(count))][:3]
    locations = ",".join(("none", *best, RANDOM_LOCATIONS[0]))
    words = (*model_flags, *text_flags, "--location", locations, "--count", str(count))
    return shlex.join(["python", "sweeps/where_to_drop.py", *words])


def to_markdown(ranking: Ranking, command: str) -> str:
    """Everything but the picture's bytes, as GitHub-flavoured Markdown."""
    parts = [f"# Which layers of {ranking.model} matter", how(ranking)]
    parts.append("\n".join(f"- {line}" for line in words(ranking)))
    parts.append("![scores and one-shot perplexity](rank.svg)")
    for section in sections(ranking):
        rows = [section.headers, ("---", *["---:"] * (len(section.headers) - 1)), *section.rows]
        grid = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"## {section.title}\n\n{grid}")
    parts.append(f"Next:\n\n    {command}")
    return "\n\n".join(parts) + "\n"


def to_csv(ranking: Ranking) -> str:
    """Every value, one a line."""
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(("what", "location", "count", "layers", "value"))
    for layer, value in enumerate(ranking.block_influence):
        lines.writerow(("block_influence", "", 1, layer, value))
    for layer, value in enumerate(ranking.loss_increase):
        lines.writerow(("loss_increase_nats", "", 1, layer, value))
    for length, distances in ranking.spans.items():
        for first, value in enumerate(distances):
            span = f"{first}-{first + length - 1}"
            lines.writerow(("angular_distance", "", length, span, value))
    lines.writerow(("nll_nats", "none", 0, "", ranking.base_nll))
    for cut in ranking.cuts:
        lines.writerow(("nll_nats", cut.location, cut.count, layers_text(cut.layers), cut.nll))
    return file.getvalue()


def perplexity(nats: float) -> str:
    """The exponential of nats in three digits or so; without end where a float ends.

    >>> [perplexity(n) for n in (2.0, 7.0, 12.0, 800.0)]
    ['7.39', '1097', '1.6e+05', 'inf']
    """
    value = math.exp(nats) if nats < 700 else math.inf
    if value < 100:
        return f"{value:.3g}"
    return f"{value:.0f}" if value < 10_000 else f"{value:.2g}"


def _of_count(ranking: Ranking, count: int) -> str:
    cuts = ranking.of_count(count)
    best, nulls = _named(cuts)[0], [c for c in cuts if c.location in RANDOM_LOCATIONS]
    null = f"{perplexity(nulls[0].nll)} to {perplexity(nulls[-1].nll)}"
    return (
        f"{count} of {ranking.num_layers}: lowest one-shot perplexity at {best.location} "
        f"({layers_text(best.layers)}), {perplexity(best.nll)} against "
        f"{perplexity(ranking.base_nll)} of the whole model; {len(nulls)} random sets {null}."
    )


def _named(cuts: Sequence[Cut]) -> list[Cut]:
    """Those of locations that are rules; of equal sets the first."""
    found: dict[tuple[int, ...], Cut] = {}
    for cut in cuts:
        if cut.location not in RANDOM_LOCATIONS:
            found.setdefault(cut.layers, cut)
    return list(found.values())


def _by_layer(ranking: Ranking) -> Section:
    spans = [f"angular, span of {length}" for length in ranking.spans]
    return Section(
        title="By layer: block influence; loss increase when it is skipped, nats per token; "
        "angular distance of the span that begins there, * the least",
        headers=("layer", "block influence", "loss increase", *spans),
        rows=tuple(
            (
                str(layer),
                f"{ranking.block_influence[layer]:.3f}",
                f"{ranking.loss_increase[layer]:+.3f}",
                *_span_cells(ranking, layer),
            )
            for layer in range(ranking.num_layers)
        ),
    )


def _span_cells(ranking: Ranking, layer: int) -> Iterator[str]:
    for distances in ranking.spans.values():
        inside = layer < len(distances)
        least = inside and layer > 0 and distances[layer] == min(distances[1:-1] or distances)
        yield (f"{distances[layer]:.3f}" + ("*" if least else "")) if inside else "–"


def _by_location(ranking: Ranking) -> Section:
    names = list(dict.fromkeys(cut.location for cut in ranking.cuts))
    at = {(cut.location, cut.count): cut for cut in ranking.cuts}
    best = {count: ranking.of_count(count)[0].nll for count in ranking.counts}

    def cell(name: str, count: int) -> str:
        nll = at[name, count].nll
        return perplexity(nll) + ("*" if nll == best[count] else "")

    base = perplexity(ranking.base_nll)
    return Section(
        title=f"By location: one-shot perplexity (whole model {base}), * the lowest",
        headers=("location", *(f"{count} leave" for count in ranking.counts)),
        rows=tuple((name, *(cell(name, count) for count in ranking.counts)) for name in names),
    )
