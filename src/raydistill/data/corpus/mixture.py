"""Several texts in given shares of the tokens. None repeats: the scarcest decides the size."""

from collections.abc import Sequence
from itertools import accumulate

from raydistill.core.units import format_tokens
from raydistill.data.sources.source import Source


def documents_taken(lengths: Sequence[Sequence[int]], sources: Sequence[Source]) -> list[int]:
    """How many documents of each source, from its beginning, so that the shares come out.

    Args:
        lengths: the tokens of each document, by source.
        sources: what share of the tokens each is to have.

    >>> documents_taken([[10] * 7, [5] * 100], [Source("a", 0.7), Source("b", 0.3)])
    [7, 6]
    """
    most = min(sum(own) / source.share for own, source in zip(lengths, sources, strict=True))
    return [
        sum(total <= source.share * most + 1e-6 for total in accumulate(own))
        for own, source in zip(lengths, sources, strict=True)
    ]


def describe(
    lengths: Sequence[Sequence[int]], taken: Sequence[int], sources: Sequence[Source]
) -> str:
    """What a mix takes of each source, in words."""
    parts = []
    used = [sum(own[:count]) for own, count in zip(lengths, taken, strict=True)]
    for source, own, tokens in zip(sources, lengths, used, strict=True):
        share = f"{100 * tokens / max(1, sum(used)):.3g} %"
        of = f"{format_tokens(tokens)} of {format_tokens(sum(own))} tokens"
        parts.append(f"{source.name} {share} ({of})")
    return f"mix: {', '.join(parts)}; nothing repeats, so the scarcest text decides"
