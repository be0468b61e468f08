"""Performance lost by removing layers, with intervals: each cell against one reference.

The reference is the base, or the control that trained on the same tokens (METHOD 1).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raydistill.core.units import ratio_drop_pct
from raydistill.evaluation.bootstrap import (
    DocumentScores,
    Entry,
    FloatArray,
    Missing,
    PairedBootstrap,
    estimate,
)
from raydistill.specs.results import Scores, UnitScores

Runs = Mapping[int, DocumentScores]  # by data seed, what was measured on its weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Drops:
    """Performance lost against one reference; positive is worse (METHOD 1).

    `retention` is (after − chance)/(before − chance) of the mean over the tasks: 1 is all kept.
    """

    delta_nll: Entry  # nats per token
    perplexity_drop_pct: Entry
    downstream_drop_pct: Entry
    retention: Entry


def perplexity_drop_pct(before_nll: float, after_nll: float) -> float:
    """Percent by which the perplexity grew between two nats per token.

    >>> round(perplexity_drop_pct(math.log(15.594), math.log(24.76)), 1)  # Table 3, 300M
    58.8
    """
    return 100 * math.expm1(after_nll - before_nll)


def downstream_drop_pct(before: Scores, after: Scores) -> float:
    """Percent lost of the mean over the tasks.

    Raises:
        ValueError: if the two were not scored on the same tasks, or the mean before is 0.
    """
    if before.tasks.keys() != after.tasks.keys():
        raise ValueError(f"not the same tasks: {sorted(before.tasks)} and {sorted(after.tasks)}")
    if before.downstream == 0:
        raise ValueError("the mean over the tasks before is 0: it cannot drop")
    return ratio_drop_pct(before.downstream, after.downstream)


def tasks_averaged(bases: Iterable[Scores]) -> tuple[str, ...]:
    """The one set of tasks that every downstream mean of a sweep is over (METHOD 6).

    Those above chance at every base; if there is none, all that every base was scored on.
    """
    bases = list(bases)
    return above_chance(bases) or scored_everywhere(bases)


def above_chance(bases: Iterable[Scores]) -> tuple[str, ...]:
    """Tasks that every base was scored on and is more than two standard errors above guessing."""
    bases = list(bases)
    by_task = {name: [base.tasks[name] for base in bases] for name in scored_everywhere(bases)}
    return tuple(
        name
        for name, scores in by_task.items()
        if all(score.value > score.chance + 2 * score.stderr for score in scores)
    )


def scored_everywhere(bases: Iterable[Scores]) -> tuple[str, ...]:
    """Tasks that every base was scored on."""
    tasks = [set(base.tasks) for base in bases]
    return tuple(sorted(set.intersection(*tasks))) if tasks else ()


def drops(
    before: Runs,
    after: Runs,
    *,
    chance: Mapping[str, float],
    bootstrap: PairedBootstrap,
) -> Drops:
    """How much worse `after` is than `before`, over the tasks that `chance` names.

    What cannot be computed is Missing with its reason: a score that is not a number, a task that
    one side lacks, a reference at 0 or at chance, two sides measured on different text.

    Args:
        before: the reference of each seed of `after`; a base is that of every seed.
        after: by data seed, at least one. Means over the seeds are compared.
        chance: what guessing gives, by task.
        bootstrap: over all documents of both.
    """
    nll, perplexity = _nll_drops(before, after, bootstrap)
    downstream, retention = _downstream_drops(before, after, chance, bootstrap)
    return Drops(
        delta_nll=nll,
        perplexity_drop_pct=perplexity,
        downstream_drop_pct=downstream,
        retention=retention,
    )


def mean_nll(runs: Runs, bootstrap: PairedBootstrap) -> FloatArray:
    """Held-out nats per token, the mean over the seeds of `runs`."""
    return bootstrap.over_seeds({seed: bootstrap.values(run.nll) for seed, run in runs.items()})


def mean_score(runs: Runs, tasks: Sequence[str], bootstrap: PairedBootstrap) -> FloatArray:
    """The mean score over `tasks`, which every run must have, and over the seeds of `runs`."""
    return bootstrap.over_seeds(
        {seed: bootstrap.downstream(run, tasks) for seed, run in runs.items()}
    )


def no_drops(reason: str) -> Drops:
    """Every drop Missing, for one `reason`."""
    none = Missing(reason=reason)
    return Drops(delta_nll=none, perplexity_drop_pct=none, downstream_drop_pct=none, retention=none)


def _nll_drops(before: Runs, after: Runs, bootstrap: PairedBootstrap) -> tuple[Entry, Entry]:
    if not all(same_items(before[seed].nll, run.nll) for seed, run in after.items()):
        missing = Missing(reason="the loss was not measured on the same held-out text")
        return missing, missing
    delta_R = mean_nll(after, bootstrap) - mean_nll(before, bootstrap)
    with np.errstate(over="ignore"):
        pct_R = 100 * np.expm1(delta_R)
    return (
        estimate(delta_R, "the held-out loss is not a number"),
        estimate(pct_R, "the perplexity is not a number"),
    )


def _downstream_drops(
    before: Runs, after: Runs, chance: Mapping[str, float], bootstrap: PairedBootstrap
) -> tuple[Entry, Entry]:
    tasks = sorted(chance)
    unpaired = next(filter(None, (_why_unpaired(before[s], after[s], tasks) for s in after)), "")
    if unpaired:
        return Missing(reason=unpaired), Missing(reason=unpaired)
    before_R, after_R = (mean_score(runs, tasks, bootstrap) for runs in (before, after))
    guess = sum(chance.values()) / len(tasks)
    return (
        estimate(
            100 * (1 - _ratio(after_R, before_R)),
            "the reference has accuracy 0, or a task has no items",
        ),
        estimate(_ratio(after_R - guess, before_R - guess), "the reference is not above chance"),
    )


def _why_unpaired(before: DocumentScores, after: DocumentScores, tasks: Sequence[str]) -> str:
    """What keeps the two from being compared on `tasks`; empty if nothing does."""
    for task in tasks:
        if task not in before.tasks or task not in after.tasks:
            return f"task {task!r} was not scored: no mean over fewer tasks"
        if not same_items(before.tasks[task], after.tasks[task]):
            return f"task {task!r} was not scored on the same items"
    return "" if tasks else "no tasks were scored"


def _ratio(after_R: FloatArray, before_R: FloatArray) -> FloatArray:
    """after/before; NaN where `before_R` is not above 0."""
    return np.divide(after_R, before_R, out=np.full_like(before_R, np.nan), where=before_R > 0)


def same_items(left: UnitScores, right: UnitScores) -> bool:
    """Whether two scores are of the same documents, with as many items in each."""
    if left.counts_vary:
        return set(left.units) == set(right.units)
    return dict(zip(left.units, left.counts, strict=True)) == dict(
        zip(right.units, right.counts, strict=True)
    )
