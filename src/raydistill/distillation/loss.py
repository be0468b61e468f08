"""Objectives. A loss is a file that defines one function.

    loss(logits_BTV, targets_BT, ask) -> Tensor

is in nats per token, a float32 scalar. `ask()` gives the teacher's `Answer` to the same inputs;
only a loss with a teacher asks. Keyword arguments are settings (`kd+temperature=2`).
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor

from raydistill.core.parts import LOSS, load_part
from raydistill.distillation.answers import Ask
from raydistill.distillation.loss_name import FEATURE_TERMS, loss_settings

Loss = Callable[[Tensor, Tensor, Ask], Tensor]


def load_loss(name: str) -> Loss:
    """The loss of that name, with the settings that the name carries (`kd+temperature=2`).

    Raises:
        UsageError: if there is no such loss or setting.
    """
    file, settings = loss_settings(name)
    loss = cast(Loss, load_part(LOSS, file, "loss"))
    own = {key: value for key, value in settings.items() if key not in FEATURE_TERMS}
    return partial(loss, **own) if own else loss
