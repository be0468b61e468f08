"""Deep or shallow at equal parameters and at equal FLOPs: sets found among the runs, paired."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from raydistill.evaluation.bootstrap import (
    Estimate,
    PairedBootstrap,
    estimate,
    resampled,
    told_apart,
)
from raydistill.reports.reduced_scale.runs import EXACT, Run, RunPoint, at_equal_tokens

WITHIN = 1.03  # the most and the least of a set differ by at most this
PARAMETERS, FLOPS = "parameters", "FLOPs"


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthPair:
    """A deeper and a shallower shape of one set.

    Attributes:
        equal: `PARAMETERS` (non-embedding) or `FLOPS` (exact).
        shallow: the one with fewer layers.
        deep: the other.
        tokens: that both are compared at.
        nats: the deeper one's above the shallower one's.
        sign: 1 or −1 where they are told apart.
    """

    equal: str
    shallow: Run
    deep: Run
    tokens: int
    nats: Estimate
    sign: int


def depth_pairs(runs: Sequence[Run]) -> tuple[DepthPair, ...]:
    """Every two runs of a set that differ in layers, at the most tokens both have.

    A set has one run a depth: of several shapes as deep that with the commonest number of heads,
    as heads cost nothing. Holm is over all pairs of both kinds.

    Args:
        runs: of one objective and text.
    """
    matched = [*_pairs(runs, PARAMETERS), *_pairs(runs, FLOPS)]
    bootstrap = PairedBootstrap(
        unit for *_, points in matched for point in points for unit in point.nats.units
    )
    differences = {
        f"{equal} {shallow.name} {deep.name}": lambda over, points=points: (
            over.values(points[1].nats) - over.values(points[0].nats)
        )
        for equal, shallow, deep, points in matched
    }
    differences_R = resampled(differences, bootstrap, len(differences))
    apart = told_apart(differences_R, documents=len(bootstrap.units))
    pairs = []
    for (key, d_R), (equal, shallow, deep, points) in zip(
        differences_R.items(), matched, strict=True
    ):
        nats = estimate(d_R, "not a number")
        if isinstance(nats, Estimate):
            sign = int(nats.low > 0) - int(nats.high < 0)
            pairs.append(
                DepthPair(
                    equal=equal,
                    shallow=shallow,
                    deep=deep,
                    tokens=points[0].tokens,
                    nats=nats,
                    sign=sign if key in apart else 0,
                )
            )
    return tuple(pairs)


_Found = tuple[str, Run, Run, tuple[RunPoint, RunPoint]]


def _pairs(runs: Sequence[Run], equal: str) -> Iterator[_Found]:
    seen: set[tuple[str, str]] = set()
    for of_set in _sets(runs, _size(equal)):
        for shallow, deep in combinations(of_set, 2):
            points = at_equal_tokens((shallow, deep))
            if points and (shallow.name, deep.name) not in seen:
                seen.add((shallow.name, deep.name))
                yield equal, shallow, deep, (points[shallow.name], points[deep.name])


def _size(equal: str) -> Callable[[Run], float]:
    """What is equal; FLOPs per token, as runs are compared at equal tokens."""
    if equal == PARAMETERS:
        return lambda run: float(run.non_embedding)
    return lambda run: run.oldest.flops[EXACT] / run.oldest.tokens


def _sets(runs: Sequence[Run], size: Callable[[Run], float]) -> Iterator[tuple[Run, ...]]:
    """Runs whose size is within 3 %, one a depth, the shallowest first; each set is the largest."""
    heads = Counter(run.shape.heads for run in runs)
    ordered = sorted(runs, key=lambda run: (size(run), run.name))
    last = -1
    for start, first in enumerate(ordered):
        end = max(i for i, run in enumerate(ordered) if size(run) <= WITHIN * size(first))
        if end == last:  # part of the set before
            continue
        last = end
        by_depth: dict[int, Run] = {}
        for run in sorted(ordered[start : end + 1], key=lambda r: (-heads[r.shape.heads], r.name)):
            by_depth.setdefault(run.shape.layers, run)
        if len(by_depth) > 1:
            yield tuple(by_depth[layers] for layers in sorted(by_depth))
