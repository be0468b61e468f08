"""Scores of made-up documents: 60 of them, with effects of documents and data seeds."""

import numpy as np

from raydistill.evaluation.bootstrap import DocumentScores, PairedBootstrap, estimate
from raydistill.specs.results import Scores, TaskScore, UnitScores

UNITS = tuple(f"GEN {chapter}" for chapter in range(60))
QUICK = PairedBootstrap(UNITS, resamples=1_000)


def scores_of(task_values, nll=0.0, stderr=0.0, chance=0.0):
    tasks = {
        str(task): TaskScore(value=value, stderr=stderr, chance=chance)
        for task, value in enumerate(task_values)
    }
    return Scores(weights_sha256="0" * 64, nll=nll, tasks=tasks)


def nats(per_token, units=UNITS, tokens=100):
    """Held-out nats with the given mean in each document."""
    sums = tuple(float(value) * tokens for value in np.broadcast_to(per_token, len(units)))
    return UnitScores(units=units, sums=sums, counts=(tokens,) * len(units))


def documents(per_token, right=(5,) * 60, counts=(10,) * 60):
    task = UnitScores(units=UNITS, sums=tuple(map(float, right)), counts=tuple(counts))
    return DocumentScores(nll=nats(per_token), tasks={"continuation": task})


def noisy(seed, mean, spread=0.1):
    return mean + spread * np.random.default_rng(seed).standard_normal(len(UNITS))


def differences(seeds, *, mean=0.0, of_seeds=0.0, of_documents=0.1, of_both=0.05, draw=0):
    """By seed, the nats a token between two cells: seeds × documents, all effects random."""
    random = np.random.default_rng(draw)
    shared_U = mean + of_documents * random.standard_normal(len(UNITS))
    own_SU = of_both * random.standard_normal((seeds, len(UNITS)))
    own_SU += of_seeds * random.standard_normal((seeds, 1))
    return {seed: nats(shared_U + own_SU[seed]) for seed in range(seeds)}


def over_seeds(by_seed, bootstrap):
    return bootstrap.over_seeds(
        {seed: bootstrap.values(scores) for seed, scores in by_seed.items()}
    )


def interval(by_seed):
    entry = estimate(over_seeds(by_seed, QUICK), "")
    return entry.low, entry.high
