"""A sweep ready for a stage: its plan, the results of earlier stages, and its distinct trials.

It is prepared once after every stage, and handed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.evaluation.probing.stored import kept_probes
from raydistill.planning.artifacts import Artifacts, find_artifacts
from raydistill.planning.cell import BaseRequest, Cell
from raydistill.planning.plan import SweepPlan
from raydistill.planning.resolve import PlannedTrial, distinct
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedSweep:
    """A plan, resolved as far as the store's artifacts allow; `prepare` makes it."""

    plan: SweepPlan
    artifacts: Artifacts
    trials: tuple[PlannedTrial, ...]  # distinct, in the order of their first cell
    store: Store

    @property
    def folder(self) -> Path:
        """The store's folder of the sweep; its trials are not in it."""
        return self.store.path("sweeps", self.plan.sweep.name, self.plan.scale.name)

    def with_cells(self, cells: Sequence[Cell]) -> "PreparedSweep":
        """The sweep with other cells of the same bases."""
        plan = replace(self.plan, cells=tuple(cells))
        return prepare(plan, self.store, self.artifacts)


def prepare(plan: SweepPlan, store: Store, artifacts: Artifacts | None = None) -> PreparedSweep:
    """A plan, resolved by the artifacts in the store, or by `artifacts`.

    Raises:
        UsageError: if the model or the schedule of a cell does not allow its request.
        DataError: if a scale's shipped bases saw another corpus, its text is missing, or two of
            its ages are the same weights.
    """
    if artifacts is None:
        artifacts = find_artifacts(plan.scale, plan.cells, store)
    trials = distinct(plan.cells, artifacts)
    return PreparedSweep(plan=plan, artifacts=artifacts, trials=trials, store=store)


def missing_probes(base: BaseRequest, prepared: PreparedSweep) -> tuple[str, ...]:
    """The accuracies of probes that a base of a plan is to have and has not yet."""
    spec, weights = base.scale.evaluation, prepared.artifacts.bases.get(base.key)
    if weights is None:
        return spec.probe_scores
    corpus = prepared.artifacts.corpus_of(base.scale).corpus_sha256
    return kept_probes(weights.weights_sha256, corpus, spec, prepared.store)[1]
