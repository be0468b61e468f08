"""What may be concluded from scores by document: intervals, and the set tied with the best.

A unit is a whole document with everything made from it (METHOD 6). A resample draws as many
documents as there are, with replacement, and as many data seeds, and weighs every score by the
same draw: base, control, all cells and all tasks move together, so what they share cancels in a
difference.

Arrays `…_R` hold the measured value first and one value per resample after it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from raydistill.specs.results import UnitScores

FloatArray = NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.05
SPARE = 4  # times the fewest resamples that let Holm reject every one of many hypotheses
MIN_DOCUMENTS = 8  # with fewer, a bootstrap says "certain" too easily: nothing is told apart


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
    """What was measured on one set of weights, by document: held-out nats and every task.

    `probes` are accuracies after fine-tuning on a probe, by `specs.evaluation.probe_score`, which
    enter no mean over tasks.
    """

    nll: UnitScores
    tasks: Mapping[str, UnitScores]
    probes: Mapping[str, UnitScores] = field(default_factory=dict)


class PairedBootstrap:
    """The same resampled documents for every score.

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
        by_score = (by for run in scores for by in (run.nll, *run.tasks.values()))
        return cls(unit for unit_scores in by_score for unit in unit_scores.units)

    def enough_for(self, hypotheses: int) -> Iterator[Self]:
        """This one, then further draws of the same documents until Holm can reject `hypotheses`.

        The smallest p of R resamples is 1/(1 + R), and Holm asks the first for 5 %/hypotheses:
        with 2,000 resamples nothing could be told from the best of more than 101 candidates.
        """
        yield self
        resamples = len(self.weights_RU) - 1
        if LEVEL * (1 + resamples) < hypotheses:
            blocks = math.ceil(SPARE * hypotheses / LEVEL / resamples)
            for seed in range(self._seed + 1, self._seed + blocks):
                yield type(self)(self.units, resamples=resamples, seed=seed)

    def values(self, scores: UnitScores) -> FloatArray:
        """`scores` as measured and in every resample; NaN where nothing was drawn to count.

        A document that `scores` lacks (a task without items in a chapter) counts 0.
        """
        column = {unit: index for index, unit in enumerate(self.units)}
        totals_2U = np.zeros((2, len(self.units)))
        for unit, total, count in zip(scores.units, scores.sums, scores.counts, strict=True):
            totals_2U[:, column[unit]] += (total, count)
        weights_RU = self.weights_RU
        if 4 * len(scores.units) < len(self.units):  # one of many tasks with items of their own
            columns = [column[unit] for unit in dict.fromkeys(scores.units)]
            weights_RU, totals_2U = weights_RU[:, columns], totals_2U[:, columns]
        with np.errstate(invalid="ignore"):
            sums_R, counts_R = (weights_RU @ totals_U for totals_U in totals_2U)
        nan_R = np.full(len(self.weights_RU), np.nan)
        values_R: FloatArray = np.divide(sums_R, counts_R, out=nan_R, where=counts_R > 0)
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
            resamples = len(steps_RS) - 1
            shares = random.multinomial(size, np.full(size, 1 / size), size=resamples) / size
            stretch = np.sqrt(size / random.chisquare(size - 1, size=(resamples, 1)))
            steps_RS[1:] = (shares - 1 / size) * stretch
        return steps_RS

    def downstream(self, scores: DocumentScores, tasks: Sequence[str]) -> FloatArray:
        """The mean over `tasks`, which `scores` must all have."""
        assert tasks, "no mean over no tasks"
        mean_R: FloatArray = np.mean([self.values(scores.tasks[task]) for task in tasks], axis=0)
        return mean_R


def resampled(
    losses: Mapping[str, Callable[[PairedBootstrap], FloatArray]],
    bootstrap: PairedBootstrap,
    hypotheses: int,
) -> dict[str, FloatArray]:
    """Every loss as measured and in as many resamples as Holm needs for `hypotheses`."""
    first, *further = (
        {name: loss(block) for name, loss in losses.items()}
        for block in bootstrap.enough_for(hypotheses)
    )
    return {
        name: np.concatenate([loss_R, *(more[name][1:] for more in further)])
        for name, loss_R in first.items()
    }


def estimate(values_R: FloatArray, reason: str) -> Entry:
    """The value and percentile interval of `values_R`, or Missing(`reason`) if not finite."""
    resampled = _finite_resamples(values_R)
    if not np.isfinite(values_R[0]) or not len(resampled):
        return Missing(reason=reason)
    low, high = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(value=float(values_R[0]), low=float(low), high=float(high))


def _finite_resamples(values_R: FloatArray) -> FloatArray:
    return values_R[1:][np.isfinite(values_R[1:])]


def told_apart(differences: Mapping[str, FloatArray], *, documents: int) -> frozenset[str]:
    """The differences that are not 0 over all documents like these, as far as these tell.

    Each hypothesis "the difference is 0" is tested two-sided: with d the measured difference and
    d* that in a resample of whole documents, p is the share of resamples in which
    |d* − d| ≥ |d|, counting the measurement as one. Holm's step-down over all of them keeps the
    chance of any wrong rejection at 5 %. Whatever a report says of an order rests on this test.

    Args:
        differences: by name, from one `PairedBootstrap`; one without a finite measurement is
            never told apart.
        documents: how many the scores are of; below `MIN_DOCUMENTS` nothing is told apart.
    """
    if documents < MIN_DOCUMENTS:
        return frozenset()
    finite = {name: d_R for name, d_R in differences.items() if np.isfinite(d_R[0])}
    return holm_rejected({name: _p_equal(d_R) for name, d_R in finite.items()})


def not_distinguishable_from_best(
    losses: Mapping[str, FloatArray], *, documents: int
) -> frozenset[str]:
    """The candidates that these documents do not tell apart from the best one.

    The best is the candidate with the lowest measured loss (the first name, if several have
    it). Every other one is tested by `told_apart` against it, two-sided, because which one is
    best was read off the same documents. Those told apart are outside; all others, the best
    included, are returned. With losses of one seed only the choice of documents is random here:
    another data seed may change the set. With losses from `PairedBootstrap.over_seeds` both are
    random.

    Args:
        losses: by candidate, from one `PairedBootstrap`, over the same seeds; lower is better.
            Base and control are no candidates. One without a finite loss is never in the set.
        documents: as in `told_apart`.
    """
    candidates = {name: loss_R for name, loss_R in losses.items() if np.isfinite(loss_R[0])}
    if not candidates:
        return frozenset()
    best = min(candidates, key=lambda name: (float(candidates[name][0]), name))
    others = candidates.keys() - {best}
    differences = {name: candidates[name] - candidates[best] for name in others}
    return frozenset(candidates) - told_apart(differences, documents=documents)


def _p_equal(differences_R: FloatArray) -> float:
    measured, resampled = differences_R[0], _finite_resamples(differences_R)
    as_far = np.count_nonzero(np.abs(resampled - measured) >= np.abs(measured))
    return float((1 + as_far) / (1 + len(resampled)))


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
