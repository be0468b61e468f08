"""What may be concluded from scores by document: intervals, the best set, rank agreement.

A unit is a whole document with everything made from it (METHOD 6). A resample draws as many
documents as there are, with replacement, and as many data seeds, and weighs every score by the
same draw: base, control, all cells and all tasks move together, so what they share cancels in a
difference.

Arrays `…_R` hold the measured value first and one value per resample after it.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from raydistill.outcomes import UnitScores

FloatArray = NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.05
MOST_SEEDS = 1_000
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
        self._seed = seed
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
        weights_RU = self.weights_RU
        if 4 * len(scores.units) < len(self.units):  # one of many tasks with items of their own
            inside = [place[unit] for unit in dict.fromkeys(scores.units)]
            weights_RU, totals_2U = weights_RU[:, inside], totals_2U[:, inside]
        with np.errstate(invalid="ignore"):
            sums_R, counts_R = (weights_RU @ totals_U for totals_U in totals_2U)
        nothing_R = np.full(len(self.weights_RU), np.nan)
        values_R: FloatArray = np.divide(sums_R, counts_R, out=nothing_R, where=counts_R > 0)
        return values_R

    def over_seeds(self, values: Mapping[int, FloatArray]) -> FloatArray:
        """The mean over data seeds, where a resample draws the seeds too.

        As many seeds are drawn, with replacement, as there are. A few seeds are too alike to
        show how far another one may lie, so a resample's step away from their mean is stretched
        by √(S/χ²), χ² drawn with S − 1 degrees of freedom. This gives the mean of S seeds
        Student's tails, as S draws from a normal have; without it, an interval over three
        seeds holds the truth 82 times in 100 where training noise is most of the noise.

        Args:
            values: by seed, each from `values` or `downstream`. Equally many seeds get the
                same draw, so two means over the same seeds are paired. One seed stays as it is.
        """
        values_RS = np.stack([values[seed] for seed in sorted(values)], axis=1)
        mean_R: FloatArray = values_RS.mean(axis=1)
        with np.errstate(invalid="ignore"):
            steps_RS = self._seed_steps(len(values)) * (values_RS - mean_R[:, None])
        over_R: FloatArray = mean_R + steps_RS.sum(axis=1)
        return over_R

    def _seed_steps(self, size: int) -> FloatArray:
        """How far each resample goes towards each of `size` seeds: nowhere as measured."""
        steps_RS: FloatArray = np.zeros((len(self.weights_RU), size))
        if size > 1:
            random = np.random.default_rng([self._seed, size])
            drawn = len(steps_RS) - 1
            shares = random.multinomial(size, np.full(size, 1 / size), size=drawn) / size
            stretch = np.sqrt(size / random.chisquare(size - 1, size=(drawn, 1)))
            steps_RS[1:] = (shares - 1 / size) * stretch
        return steps_RS

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
    5 %. Rejected candidates are outside; all others, the best included, are returned. With
    losses of one seed only the choice of documents is random here: another data seed may
    change the set. With losses from `PairedBootstrap.over_seeds`, d* is random in both.

    Args:
        losses: by candidate, from one `PairedBootstrap`, over the same seeds; lower is better.
            Base and control are no candidates. One without a finite loss is never in the set.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedsNeeded:
    """So many data seeds of each cell would tell the two apart; those there are count."""

    seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentsAreTheLimit:
    """No number of seeds would; it takes at least `times` as many documents."""

    times: float


Separation = SeedsNeeded | DocumentsAreTheLimit | Missing


def seeds_to_separate(differences: Mapping[int, FloatArray], *, power: float = 0.8) -> Separation:
    """How many seeds, of equal training, would tell two cells apart at 5 % with that power.

    The loss difference d of two cells over S seeds and all documents has the variance

        v(S) = v_documents + v_seed / S

    v_seed is that of the measured differences over seeds, which holds what a seed does to
    single documents. v_documents, what is left of choosing the documents however many seeds
    there are, is (S·v_mean − v_one)/(S − 1): v_mean is the variance over resampled documents
    of the mean difference, v_one the mean of that of a single seed. The answer is the smallest
    S ≥ 2 with |d| ≥ (t(0.975) + t(power))·√v(S), t the quantiles of Student's distribution at
    ν = (S − 1)·(v(S)·S / v_seed)² degrees of freedom (Satterthwaite; documents count as many).
    Documents are the limit where |d| < (z(0.975) + z(power))·√v_documents, or where
    `MOST_SEEDS` seeds would not do. Measured values are taken for the true ones: from three
    seeds the answer is rough, and for a pair that was picked for its distance it is too low.

    Args:
        differences: by seed, the loss of one cell minus that of the other: from
            `PairedBootstrap.values`, so over the same documents.
        power: how often the difference is to be found, in (0.5, 1).
    """
    if len(differences) < 2:
        return Missing(reason="one data seed does not show how far another would lie")
    values_RS = np.stack(list(differences.values()), axis=1)
    distance = abs(float(values_RS[0].mean()))
    if not distance or not math.isfinite(distance):
        return Missing(reason="no difference was measured")
    seed_variance = float(values_RS[0].var(ddof=1))
    document_variance = _document_variance(values_RS)
    for seeds in range(2, MOST_SEEDS + 1):
        if distance >= _detectable(document_variance, seed_variance, seeds, power):
            return SeedsNeeded(seeds=seeds)
    detectable = _detectable(document_variance, 0.0, MOST_SEEDS, power)
    return DocumentsAreTheLimit(times=max(1.0, (detectable / distance) ** 2))


def _document_variance(values_RS: FloatArray) -> float:
    """The variance over documents that no number of seeds takes away."""
    seeds: int = values_RS.shape[1]
    of_mean = float(np.nanvar(values_RS[1:].mean(axis=1)))
    of_one = float(np.nanvar(values_RS[1:], axis=0).mean())
    return max(0.0, (seeds * of_mean - of_one) / (seeds - 1))


def _detectable(document_variance: float, seed_variance: float, seeds: int, power: float) -> float:
    """The smallest difference that so many seeds find with `power`."""
    from scipy.stats import t  # noqa: PLC0415  (a second that not every report needs)

    of_seeds = seed_variance / seeds
    variance = document_variance + of_seeds
    freedom = (seeds - 1) * (variance / of_seeds) ** 2 if of_seeds else math.inf
    return float(t.ppf([1 - LEVEL / 2, power], freedom).sum() * math.sqrt(variance))


def half(
    scores: UnitScores, which: Literal["selection", "report"], units: Iterable[str]
) -> UnitScores:
    """`scores` on the documents to select on, or on those to report on (METHOD 6).

    Args:
        scores: of some of the documents, or of all.
        which: of the halves; neither is empty if there are two documents or more.
        units: all documents, in any order. Ranked by the sha256 of their names, they go to
            selection and report in turn; so scores split by the same `units` are split alike.
            A task that has its own data has none of them: its items are ranked by themselves.
    """
    asked = set(units)
    own = asked if asked & set(scores.units) else set(scores.units)
    ranked = sorted(own, key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    inside = set(ranked[0 if which == "selection" else 1 :: 2])
    chosen = [
        entry
        for entry in zip(scores.units, scores.sums, scores.counts, strict=True)
        if entry[0] in inside
    ]
    return replace(
        scores,
        units=tuple(unit for unit, _, _ in chosen),
        sums=tuple(total for _, total, _ in chosen),
        counts=tuple(count for _, _, count in chosen),
    )


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank agreement of two lists in [−1, 1] (tau-b); NaN if one has a single value only.

    >>> kendall_tau([1, 2, 3], [10, 20, 30]), kendall_tau([1, 2, 3], [3, 2, 1])
    (1.0, -1.0)
    """
    from scipy.stats import kendalltau  # noqa: PLC0415  (a second that not every report needs)

    return float(kendalltau(left, right).statistic)
