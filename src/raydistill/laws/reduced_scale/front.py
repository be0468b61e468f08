"""The compute-optimal front as Honey draws it: the lowest loss in each bin of FLOPs.

Bins are of equal width in logarithms and lie at fixed places, so that a point's bin does not
depend on the other points. A bin whose lowest loss is above that of a cheaper one stays, as in the
paper's figure 1 (2305.17266).
"""

import math
from collections.abc import Sequence

BINS = 10  # a decade of FLOPs


def bin_of(flops: float) -> int:
    """The number of the bin of `flops`, which are above 0.

    >>> bin_of(1e15), bin_of(1.2e15), bin_of(1.3e15)
    (150, 150, 151)
    """
    return math.floor(BINS * math.log10(flops) + 1e-9)


def front(flops: Sequence[float], losses: Sequence[float]) -> tuple[int, ...]:
    """Which of n points are the lowest of their bin: their indices, ascending in FLOPs.

    The first of several as low.

    >>> front([1e15, 1.1e15, 2e15, 3e16], [4.0, 3.5, 3.6, 2.0])
    (1, 2, 3)
    """
    best: dict[int, int] = {}
    for index, (x, loss) in enumerate(zip(flops, losses, strict=True)):
        if loss < losses[best.setdefault(bin_of(x), index)]:
            best[bin_of(x)] = index
    return tuple(best[place] for place in sorted(best))


def dominated(losses: Sequence[float]) -> int:
    """How many losses of a front, ascending in FLOPs, are not below every cheaper one's.

    >>> dominated([4.0, 3.5, 3.6, 2.0])
    1
    """
    return sum(loss >= min(losses[:index]) for index, loss in enumerate(losses) if index)
