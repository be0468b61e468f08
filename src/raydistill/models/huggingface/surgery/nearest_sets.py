"""Which layers can leave instead of some that cannot."""

import itertools
from collections.abc import Iterator, Sequence

from raydistill.models.huggingface.surgery.layer_fields import (
    CannotLeaveError,
    Fields,
    fields_without,
)

_MOST_SETS = 2_000  # that are tried before none is proposed


def nearest(fields: Fields, count: int, kept: Sequence[int], *, ends: bool) -> list[list[int]]:
    """Up to three sets of layers to leave that can, the nearest to the one that cannot first.

    Of as many layers; where none of the nearest thousands can, spans of a few more or fewer.
    """
    request = tuple(layer for layer in range(count) if layer not in kept)
    may = range(count) if ends else range(1, count - 1)
    near = itertools.islice(_by_distance(request, count), _MOST_SETS)
    sets = list(itertools.islice((s for s in near if _can_leave(fields, count, s, may)), 3))
    if sets:
        return sets
    spans = [(at, end) for at in may for end in range(at + 1, may.stop + 1)]
    spans.sort(key=lambda span: (abs(span[1] - span[0] - len(request)), abs(span[0] - request[0])))
    near_spans = (list(range(*span)) for span in spans[:_MOST_SETS])
    return list(itertools.islice((s for s in near_spans if _can_leave(fields, count, s, may)), 3))


def _by_distance(request: tuple[int, ...], count: int) -> Iterator[list[int]]:
    """Sets of as many layers, those first of which the fewest layers move the fewest places."""
    seen, ring = {request}, [request]
    while ring:
        yield from map(list, sorted(ring))
        moved = (
            (*layers[:place], layer + step, *layers[place + 1 :])
            for layers in ring
            for place, layer in enumerate(layers)
            for step in (-1, 1)
            if 0 <= layer + step < count and layer + step not in layers
        )
        ring = []
        for layers in moved:
            if layers not in seen:
                seen.add(layers)
                ring.append(layers)


def _can_leave(fields: Fields, count: int, layers: Sequence[int], may: Sequence[int]) -> bool:
    if not set(layers) <= set(may) or len(layers) == count:
        return False
    try:
        fields_without(fields, count, [layer for layer in range(count) if layer not in layers])
    except CannotLeaveError:
        return False
    return True
