"""`--tasks above-chance`: those of the paper's 13 at which every base of a sweep beats guessing.

They are known once the bases are scored on all 13 (METHOD 6).
"""

from collections.abc import Collection
from dataclasses import replace

from raydistill.core.errors import UsageError
from raydistill.evaluation.lm_harness.catalogue import ABOVE_CHANCE
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.planning.artifacts import find_artifacts
from raydistill.planning.cell import bases_of, format_value
from raydistill.planning.plan import SweepPlan
from raydistill.specs.scale import Scale
from raydistill.storage.store import Store


def without_guessing(plan: SweepPlan, tasks: str | None, store: Store) -> SweepPlan:
    """The plan without those of the 13 that are at chance at a base, if `tasks` says so.

    Raises:
        UsageError: if a base is not scored on all 13 yet, or no task is above chance.
    """
    if tasks is None or ABOVE_CHANCE not in (name.strip() for name in tasks.split(",")):
        return plan
    if plan.scale.evaluation.limit:
        raise UsageError(f"--tasks {ABOVE_CHANCE} is by the scores of all items: leave --limit out")
    from raydistill.evaluation.performance_drops import above_chance  # noqa: PLC0415  (numpy)
    from raydistill.evaluation.stored_scores import measured  # noqa: PLC0415  (numpy)

    artifacts, all_scores = find_artifacts(plan.scale, plan.cells, store), []
    for base in bases_of(plan.cells):
        weights = artifacts.bases.get(base.key)
        corpus = artifacts.corpus_of(base.scale).corpus_sha256
        paper13 = replace(base.scale.evaluation, tasks=tuple(PAPER13))
        stored = measured(weights.weights_sha256, corpus, paper13, store) if weights else None
        if stored is None:
            raise UsageError(
                f"--tasks {ABOVE_CHANCE}: the base of age {format_value('age', base.age)} is not "
                "scored on all 13 yet; run once with --tasks paper13"
            )
        all_scores.append(stored.scores)
    above = above_chance(all_scores)
    if not above:
        raise UsageError(f"--tasks {ABOVE_CHANCE}: every task is at chance at one of the bases")
    cells = [replace(cell, scale=_narrowed(cell.scale, above)) for cell in plan.cells]
    return replace(plan, scale=_narrowed(plan.scale, above), cells=tuple(cells))


def _narrowed(scale: Scale, above: Collection[str]) -> Scale:
    """The scale with those of the 13 tasks that are in `above`, and all its others."""
    spec = scale.evaluation
    tasks = tuple(name for name in spec.tasks if name in above or name not in PAPER13)
    sources = tuple(source for source in spec.sources if source.task in tasks)
    return replace(scale, evaluation=replace(spec, tasks=tasks, sources=sources))
