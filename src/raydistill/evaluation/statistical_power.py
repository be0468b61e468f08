"""How many seeds would tell two rows apart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raydistill.evaluation.bootstrap import LEVEL, FloatArray, Missing

MOST_SEEDS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedsNeeded:
    """How many data seeds of each cell would tell the two apart; those already run count."""

    seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentsAreTheLimit:
    """No number of seeds would tell them apart; it takes at least `times` as many documents."""

    times: float


Separation = SeedsNeeded | DocumentsAreTheLimit | Missing


def seeds_to_separate(differences: Mapping[int, FloatArray], *, power: float = 0.8) -> Separation:
    """How many seeds, of equal training, tell two cells apart at 5 % significance and `power`.

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
    """The variance over documents that no number of seeds removes."""
    seeds: int = values_RS.shape[1]
    of_mean = float(np.nanvar(values_RS[1:].mean(axis=1)))
    of_one = float(np.nanvar(values_RS[1:], axis=0).mean())
    return max(0.0, (seeds * of_mean - of_one) / (seeds - 1))


def _detectable(document_variance: float, seed_variance: float, seeds: int, power: float) -> float:
    """The smallest difference that `seeds` seeds find with `power`."""
    from scipy.stats import t  # noqa: PLC0415  (a second that not every report needs)

    of_seeds = seed_variance / seeds
    variance = document_variance + of_seeds
    freedom = (seeds - 1) * (variance / of_seeds) ** 2 if of_seeds else math.inf
    return float(t.ppf([1 - LEVEL / 2, power], freedom).sum() * math.sqrt(variance))
