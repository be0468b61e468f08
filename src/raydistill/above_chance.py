"""`--tasks above-chance`: those of the paper's 13 that every base of a sweep does better than by
guessing (METHOD 6). Known once the bases have been scored on all 13.
"""

from dataclasses import replace

from raydistill.errors import UsageError
from raydistill.evaluate.catalogue import ABOVE_CHANCE
from raydistill.evaluate.paper13 import PAPER13
from raydistill.known import look_up
from raydistill.results import measured
from raydistill.store import Store
from raydistill.sweep import SweepPlan, bases_of


def without_guessing(plan: SweepPlan, tasks: str | None, store: Store) -> SweepPlan:
    """The plan without those of the 13 that a base answers at chance, if `tasks` asks for that.

    Raises:
        UsageError: if a base has not been scored on all 13 yet, or none is above chance.
    """
    if tasks is None or ABOVE_CHANCE not in (name.strip() for name in tasks.split(",")):
        return plan
    from raydistill.report.tasks import above_chance  # noqa: PLC0415  (numpy)

    known, found = look_up(plan.scale, plan.cells, store), []
    for base in bases_of(plan.cells):
        there = known.bases.get(base.key)
        corpus = known.corpus.corpus_sha256
        paper13 = replace(base.scale.evaluation, tasks=tuple(PAPER13))
        scores = measured(there.weights_sha256, corpus, paper13, store) if there else None
        if scores is None:
            raise UsageError(
                f"--tasks {ABOVE_CHANCE}: the base of age {base.key[1]} is not scored on all 13 "
                "yet; run once with --tasks paper13"
            )
        found.append(scores[0])
    kept = above_chance(found)
    if not kept:
        raise UsageError(f"--tasks {ABOVE_CHANCE}: every task is at chance at one of the bases")
    evaluation = plan.scale.evaluation
    left = tuple(name for name in evaluation.tasks if name in kept or name not in PAPER13)
    evaluation = replace(
        evaluation,
        tasks=left,
        sources=tuple(source for source in evaluation.sources if source.task in left),
    )
    cells = [replace(c, scale=replace(c.scale, evaluation=evaluation)) for c in plan.cells]
    return replace(plan, scale=replace(plan.scale, evaluation=evaluation), cells=tuple(cells))
