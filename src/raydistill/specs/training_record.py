"""The curves and times of one training so far, kept in each of its checkpoints."""

import time
from dataclasses import dataclass, field, replace

from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.trial import Recipe

MAX_CURVE_POINTS = 250


@dataclass(kw_only=True, slots=True)
class Record:
    """Curves and seconds of one training, over all its resumptions."""

    curve: list[Progress] = field(default_factory=list)
    heldout_curve: list[HeldoutPoint] = field(default_factory=list)
    train_s: float = 0.0
    evaluate_s: float = 0.0
    teacher_s: float = 0.0
    started_s: float = field(default_factory=time.time)  # since 1970; stays after a resumption

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.curve[-1].tokens if self.curve else 0

    def add(self, item: Progress | HeldoutPoint, seconds: float) -> None:
        """Add what the training loop yielded, and the seconds that it took."""
        if isinstance(item, Progress):
            self.curve.append(item)
            self.train_s += seconds
        else:
            self.heldout_curve.append(item)
            self.evaluate_s += seconds

    def up_to(self, item: Progress | HeldoutPoint) -> "Record":
        """The record for a checkpoint right after `item`, without what resuming yields again."""
        if isinstance(item, Progress):
            return self
        return replace(self, heldout_curve=[p for p in self.heldout_curve if p != item])

    def thinned_curve(self, recipe: Recipe) -> tuple[Progress, ...]:
        """At most `MAX_CURVE_POINTS` of the recipe's steps, the last one included.

        Which ones depends on the recipe alone, so a growing curve keeps its points.
        """
        stride = -(-recipe.total_steps // MAX_CURVE_POINTS) * recipe.batch_tokens
        return tuple(p for p in self.curve if (recipe.total_tokens - p.tokens) % stride == 0)
