"""Objectives. A loss is a file with `loss(logits_BTV, targets_BT) -> Tensor`, nats per token."""

from collections.abc import Callable
from typing import cast

from torch import Tensor

from raydistill.parts import load_part

Loss = Callable[[Tensor, Tensor], Tensor]


def load_loss(name: str) -> Loss:
    """The loss of that name.

    Raises:
        UsageError: if there is no such loss.
    """
    return cast(Loss, load_part(__name__, name, "loss"))
