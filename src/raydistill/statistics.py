"""What may be concluded from scores by document: intervals, the best set, rank agreement.

A unit is a whole document with everything made from it (METHOD 6). A resample draws as many
documents as there are, with replacement, and weighs every score by the same draw: base,
control, all cells and all tasks move together, so what they share cancels in a difference.

Arrays `…_R` hold the measured value first and one value per resample after it.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from raydistill.outcomes import Scores, TaskScore, UnitScores

FloatArray = NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.05
MIN_DOCUMENTS = 8
"""With fewer documents a bootstrap says "certain" too easily; nothing is told apart then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A measured value and its 95 % percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A value that does not exist: a “–” with `reason` as its footnote."""

    reason: str


Entry = Estimate | Missing


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentScores:
    """What was measured on one set of weights, by document: held-out nats and every task."""

    nll: UnitScores
    tasks: Mapping[str, UnitScores]


class PairedBootstrap:
    """The same resampled documents for every score that it is asked about.

    Args:
        units: every document that any score has; their order does not matter.
        resamples: how many draws.
        seed: of the draws.
    """

    def __init__(self, units: Iterable[str], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.units = tuple(sorted(set(units)))
        size = len(self.units)
        equal = np.full(max(size, 1), 1 / max(size, 1))
        draws = np.random.default_rng(seed).multinomial(size, equal, size=resamples)[:, :size]
        self.weights_RU: FloatArray = np.vstack([np.ones(size), draws]).astype(np.float64)

    @classmethod
    def over(cls, scores: Iterable[DocumentScores]) -> Self:
        """A bootstrap over all documents of `scores`."""
        parts = [part for each in scores for part in (each.nll, *each.tasks.values())]
        return cls(unit for part in parts for unit in part.units)

    def values(self, scores: UnitScores) -> FloatArray:
        """`scores` as measured and in every resample; NaN where nothing was drawn to count.

        A document that `scores` lacks (a task without items in a chapter) counts 0.
        """
        place = {unit: index for index, unit in enumerate(self.units)}
        totals_2U = np.zeros((2, len(self.units)))
        for unit, total, count in zip(scores.units, scores.sums, scores.counts, strict=True):
            totals_2U[:, place[unit]] += (total, count)
        with np.errstate(invalid="ignore"):
            sums_R, counts_R = (self.weights_RU @ totals_U for totals_U in totals_2U)
        nothing_R = np.full(len(self.weights_RU), np.nan)
        values_R: FloatArray = np.divide(sums_R, counts_R, out=nothing_R, where=counts_R > 0)
        return values_R

    def downstream(self, scores: DocumentScores, tasks: Sequence[str]) -> FloatArray:
        """The mean over `tasks`, which `scores` must all have."""
        assert tasks, "no mean over no tasks"
        mean_R: FloatArray = np.mean([self.values(scores.tasks[task]) for task in tasks], axis=0)
        return mean_R


def estimate(values_R: FloatArray, otherwise: str) -> Entry:
    """The value and percentile interval of `values_R`, or Missing(`otherwise`) if not finite."""
    if not np.isfinite(values_R[0]):
        return Missing(reason=otherwise)
    drawn = values_R[1:][np.isfinite(values_R[1:])]
    if not len(drawn):
        return Missing(reason=otherwise)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(value=float(values_R[0]), low=float(low), high=float(high))


def not_distinguishable_from_best(
    losses: Mapping[str, FloatArray], *, documents: int
) -> frozenset[str]:
    """The candidates that these documents do not tell apart from the best one.

    The best is the candidate with the lowest measured loss (the first name, if several have
    it). For each other candidate the hypothesis "its loss over all documents like these is
    that of the best" is tested two-sided, because which one is best was read off the same
    documents: with d the measured difference and d* the difference in a resample of whole
    documents, p is the share of resamples in which |d* − d| ≥ |d|, counting the measurement
    as one. Holm's step-down over all candidates keeps the chance of any wrong rejection at
    5 %. Rejected candidates are outside; all others, the best included, are returned. Only
    the choice of documents is random here: another training seed may change the set.

    Args:
        losses: by candidate, from one `PairedBootstrap`; lower is better. Base and control are
            no candidates. A candidate without a finite loss is never in the set.
        documents: how many there are; below `MIN_DOCUMENTS` nobody is told apart.
    """
    candidates = {name: loss_R for name, loss_R in losses.items() if np.isfinite(loss_R[0])}
    if not candidates or documents < MIN_DOCUMENTS:
        return frozenset(candidates)
    best = min(candidates, key=lambda name: (float(candidates[name][0]), name))
    p_values = {
        name: _p_equal(loss_R - candidates[best])
        for name, loss_R in candidates.items()
        if name != best
    }
    return frozenset(candidates) - holm_rejected(p_values)


def _p_equal(differences_R: FloatArray) -> float:
    measured = differences_R[0]
    drawn = differences_R[1:][np.isfinite(differences_R[1:])]
    as_far = np.count_nonzero(np.abs(drawn - measured) >= np.abs(measured))
    return float((1 + as_far) / (1 + len(drawn)))


def holm_rejected(p_values: Mapping[str, float], level: float = LEVEL) -> frozenset[str]:
    """The hypotheses that Holm's step-down procedure rejects at a family-wise `level`.

    >>> sorted(holm_rejected({"a": 0.01, "b": 0.02, "c": 0.6}))
    ['a', 'b']
    """
    rejected: set[str] = set()
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        if p_values[name] > level / (len(p_values) - rank):
            break
        rejected.add(name)
    return frozenset(rejected)


def half(
    scores: UnitScores, which: Literal["selection", "report"], units: Iterable[str]
) -> UnitScores:
    """`scores` on the documents to select on, or on those to report on (METHOD 6).

    Args:
        scores: of some of the documents, or of all.
        which: of the halves; neither is empty if there are two documents or more.
        units: all documents, in any order. Ranked by the sha256 of their names, they go to
            selection and report in turn; so scores split by the same `units` are split alike.
    """
    ranked = sorted(set(units), key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    inside = set(ranked[0 if which == "selection" else 1 :: 2])
    chosen = [
        entry
        for entry in zip(scores.units, scores.sums, scores.counts, strict=True)
        if entry[0] in inside
    ]
    return UnitScores(
        units=tuple(unit for unit, _, _ in chosen),
        sums=tuple(total for _, total, _ in chosen),
        counts=tuple(count for _, _, count in chosen),
    )


def above_chance(bases: Iterable[Scores]) -> tuple[str, ...]:
    """Tasks that every base scores more than two standard errors above guessing (METHOD 6)."""
    return tuple(
        sorted(
            task
            for task, scores in _by_task(bases).items()
            if all(score.value > score.chance + 2 * score.stderr for score in scores)
        )
    )


def constant_answers(scores: Sequence[DocumentScores]) -> tuple[str, ...]:
    """Tasks with the same right answers in every document for three or more sets of weights.

    That is what a model looks like that gives the same answer to every item.
    """
    if len(scores) < 3:
        return ()
    shared = set.intersection(*(set(each.tasks) for each in scores))
    return tuple(
        sorted(task for task in shared if len({each.tasks[task].sums for each in scores}) == 1)
    )


def _by_task(bases: Iterable[Scores]) -> dict[str, list[TaskScore]]:
    found: dict[str, list[TaskScore]] = {}
    for base in bases:
        for task, score in base.tasks.items():
            found.setdefault(task, []).append(score)
    return found


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank agreement of two lists in [−1, 1] (tau-b); NaN if one has a single value only.

    >>> kendall_tau([1, 2, 3], [10, 20, 30]), kendall_tau([1, 2, 3], [3, 2, 1])
    (1.0, -1.0)
    """
    pairs = list(itertools.combinations(zip(left, right, strict=True), 2))
    signs = [(np.sign(a - c), np.sign(b - d)) for (a, b), (c, d) in pairs]
    untied = math.prod(sum(sign[side] != 0 for sign in signs) for side in (0, 1))
    return float(sum(a * b for a, b in signs) / math.sqrt(untied)) if untied else math.nan
