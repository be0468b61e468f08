"""A sweep ready for a stage: its plan, what earlier stages made, and the distinct trials of both.

Every stage prepares it once, and hands it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.planning.artifacts import Artifacts, find_artifacts
from raydistill.planning.cell import Cell
from raydistill.planning.plan import SweepPlan
from raydistill.planning.resolve import PlannedTrial, distinct
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedSweep:
    """A plan as far as the store can tell what it means; `prepare` makes it."""

    plan: SweepPlan
    artifacts: Artifacts
    trials: tuple[PlannedTrial, ...]  # distinct, in the order of their first cell
    store: Store

    @property
    def folder(self) -> Path:
        """What the store keeps of the sweep itself; trials lie beside it."""
        return self.store.path("sweeps", self.plan.sweep.name, self.plan.scale.name)

    def with_cells(self, cells: Sequence[Cell]) -> "PreparedSweep":
        """The same, asked for other cells of the same bases."""
        plan = replace(self.plan, cells=tuple(cells))
        return prepare(plan, self.store, self.artifacts)


def prepare(plan: SweepPlan, store: Store, artifacts: Artifacts | None = None) -> PreparedSweep:
    """What a plan means by what is there now, or by `artifacts`.

    Raises:
        UsageError: if a cell asks for what its model or its schedule cannot give.
        DataError: if a scale's shipped bases saw another corpus, its text is missing, or two of
            its ages are the same weights.
    """
    if artifacts is None:
        artifacts = find_artifacts(plan.scale, plan.cells, store)
    trials = distinct(plan.cells, artifacts)
    return PreparedSweep(plan=plan, artifacts=artifacts, trials=trials, store=store)
