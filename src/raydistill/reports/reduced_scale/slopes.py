"""Which axis of a shape buys the most loss per FLOP, one at a time, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raydistill.evaluation.bootstrap import (
    Estimate,
    FloatArray,
    PairedBootstrap,
    estimate,
    not_distinguishable_from_best,
    told_apart,
)
from raydistill.reports.reduced_scale.runs import AXES, EXACT, Run, RunPoint, at_equal_tokens

SAME_FLOPS = 1.1  # shapes whose FLOPs differ by less have no slope


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """Runs that differ in one axis alone, at equal tokens.

    Attributes:
        axis: of the shape.
        runs: ascending in it, two at least.
        points: theirs.
        flops_ratio: of the dearest and the cheapest, by the exact rule.
        per_doubling: nats that a doubling of FLOPs by this axis adds; None where it costs none.
        end_to_end: nats of the largest value above the smallest.
        is_apart: whether the tested difference (the slope, or else the ends) is told from 0.
        best: whether the slope is not distinguishable from the best one.
    """

    axis: str
    runs: tuple[Run, ...]
    points: tuple[RunPoint, ...]
    flops_ratio: float
    per_doubling: Estimate | None
    end_to_end: Estimate
    is_apart: bool
    best: bool

    @property
    def values(self) -> tuple[int, ...]:
        """Of the axis."""
        return tuple(getattr(run.shape, self.axis) for run in self.runs)


def slopes(runs: Sequence[Run]) -> tuple[Slope, ...]:
    """The slope of every axis; of several sets of an axis, that with the most runs.

    All at once are paired over documents; Holm is over all axes.

    Args:
        runs: of one objective and text.
    """
    sets = {axis: of for axis in AXES if (of := _varied(runs, axis))}
    points = {axis: tuple(at_equal_tokens(of)[run.name] for run in of) for axis, of in sets.items()}
    every = [point for of in points.values() for point in of]
    bootstrap = PairedBootstrap(unit for point in every for unit in point.nats.units)
    slope_R: dict[str, FloatArray] = {}
    ends_R: dict[str, FloatArray] = {}
    for axis, varied in points.items():
        loss_Rn = np.stack([bootstrap.values(point.nats) for point in varied], axis=1)
        ends_R[axis] = loss_Rn[:, -1] - loss_Rn[:, 0]
        if _ratio(varied) > SAME_FLOPS:
            doublings_n = np.log2([point.flops[EXACT] for point in varied])
            away_n = doublings_n - doublings_n.mean()
            slope_R[axis] = loss_Rn @ away_n / (away_n @ away_n)
    documents = len(bootstrap.units)
    tested = {axis: slope_R.get(axis, end_R) for axis, end_R in ends_R.items()}
    apart = told_apart(tested, documents=documents)
    best = not_distinguishable_from_best(slope_R, documents=documents)
    every_slope = []
    for axis, of in sets.items():
        end = estimate(ends_R[axis], "not a number")
        slope = estimate(slope_R[axis], "not a number") if axis in slope_R else None
        if isinstance(end, Estimate):
            every_slope.append(
                Slope(
                    axis=axis,
                    runs=of,
                    points=points[axis],
                    flops_ratio=_ratio(points[axis]),
                    per_doubling=slope if isinstance(slope, Estimate) else None,
                    end_to_end=end,
                    is_apart=axis in apart,
                    best=axis in best,
                )
            )
    return tuple(every_slope)


def _ratio(points: Sequence[RunPoint]) -> float:
    flops = [point.flops[EXACT] for point in points]
    return max(flops) / min(flops)


def _varied(runs: Sequence[Run], axis: str) -> tuple[Run, ...]:
    """The largest set of runs that differ in an axis alone and share an age, ascending in it."""
    sets: dict[tuple[int, ...], dict[int, Run]] = {}
    for run in runs:
        others = tuple(getattr(run.shape, name) for name in AXES if name != axis)
        sets.setdefault(others, {}).setdefault(getattr(run.shape, axis), run)
    enough = [
        tuple(of[value] for value in sorted(of))
        for of in sets.values()
        if len(of) > 1 and at_equal_tokens(list(of.values()))
    ]
    return max(enough, key=len, default=())
