"""Mixes of texts in given shares of the tokens. None repeats: the scarcest decides the size."""

from collections.abc import Sequence
from itertools import accumulate

from raydistill.core.units import format_tokens
from raydistill.data.sources.source import Source


def documents_taken(lengths: Sequence[Sequence[int]], sources: Sequence[Source]) -> list[int]:
    """The number of documents of each source, from its beginning, that gives the shares.

    Args:
        lengths: the tokens of every document, by source.
        sources: with the share of the tokens of each.

    >>> documents_taken([[10] * 7, [5] * 100], [Source("a", 0.7), Source("b", 0.3)])
    [7, 6]
    """
    size = min(sum(own) / source.share for own, source in zip(lengths, sources, strict=True))
    return [
        sum(total <= source.share * size + 1e-6 for total in accumulate(own))
        for own, source in zip(lengths, sources, strict=True)
    ]


def describe_mix(
    lengths: Sequence[Sequence[int]], counts: Sequence[int], sources: Sequence[Source]
) -> str:
    """The tokens that a mix takes of each source, in words."""
    used = [sum(own[:count]) for own, count in zip(lengths, counts, strict=True)]
    parts = [
        f"{source.name} {100 * tokens / max(1, sum(used)):.3g} % "
        f"({format_tokens(tokens)} of {format_tokens(sum(own))} tokens)"
        for source, own, tokens in zip(sources, lengths, used, strict=True)
    ]
    return f"mix: {', '.join(parts)}; nothing repeats, so the scarcest text decides"
