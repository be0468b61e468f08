"""`--tasks above-chance`: those of the paper's 13 that no base of a sweep only guesses at.

They are known once the bases have been scored on all 13 (METHOD 6).
"""

from collections.abc import Collection
from dataclasses import replace

from raydistill.core.errors import UsageError
from raydistill.evaluation.lm_harness.catalogue import ABOVE_CHANCE
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.planning.artifacts import find_artifacts
from raydistill.planning.cell import bases_of, shown
from raydistill.planning.plan import SweepPlan
from raydistill.specs.scale import Scale
from raydistill.storage.store import Store


def without_guessing(plan: SweepPlan, tasks: str | None, store: Store) -> SweepPlan:
    """The plan without those of the 13 that a base answers at chance, if `tasks` asks for that.

    Raises:
        UsageError: if a base has not been scored on all 13 yet, or none is above chance.
    """
    if tasks is None or ABOVE_CHANCE not in (name.strip() for name in tasks.split(",")):
        return plan
    from raydistill.evaluation.performance_drops import above_chance  # noqa: PLC0415  (numpy)
    from raydistill.evaluation.stored_scores import measured  # noqa: PLC0415  (numpy)

    made, found = find_artifacts(plan.scale, plan.cells, store), []
    for base in bases_of(plan.cells):
        there = made.bases.get(base.key)
        corpus = made.corpus.corpus_sha256
        paper13 = replace(base.scale.evaluation, tasks=tuple(PAPER13))
        scores = measured(there.weights_sha256, corpus, paper13, store) if there else None
        if scores is None:
            raise UsageError(
                f"--tasks {ABOVE_CHANCE}: the base of age {shown('age', base.age)} is not scored "
                "on all 13 yet; run once with --tasks paper13"
            )
        found.append(scores[0])
    kept = above_chance(found)
    if not kept:
        raise UsageError(f"--tasks {ABOVE_CHANCE}: every task is at chance at one of the bases")
    cells = [replace(cell, scale=_narrowed(cell.scale, kept)) for cell in plan.cells]
    return replace(plan, scale=_narrowed(plan.scale, kept), cells=tuple(cells))


def _narrowed(scale: Scale, kept: Collection[str]) -> Scale:
    """The scale with those of the 13 tasks that are in `kept`, and all its others."""
    asked = scale.evaluation
    left = tuple(name for name in asked.tasks if name in kept or name not in PAPER13)
    sources = tuple(source for source in asked.sources if source.task in left)
    return replace(scale, evaluation=replace(asked, tasks=left, sources=sources))
