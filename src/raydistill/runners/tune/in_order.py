"""A search algorithm for Tune that takes the cells in the order given."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from raydistill.runners.cluster.stop_signal import stop_requested
from raydistill.runners.cluster.work import Candidate

OBJECTIVE = "delta_nll_selection"  # nats per token lost, on the held-out half for selection
END: str = Searcher.FINISHED


class InOrder(Searcher):  # type: ignore[misc]  # ray has no types
    """Every candidate once, as listed. Tune's own grid knows products only, not their unions.

    Attributes:
        queue: how many trials may wait for room at once, and so be seen by an autoscaler.
    """

    queue = 200

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._remaining = list(reversed(candidates))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        return END if not self._remaining or stop_requested() else config_of(self._remaining.pop())

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing depends on the result."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a run is repeated, never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""


def config_of(cell: Candidate) -> dict[str, Any]:
    """The cell as Tune's tables show it: its axes by name, and its key."""
    return {**cell.axes, "key": cell.key}
