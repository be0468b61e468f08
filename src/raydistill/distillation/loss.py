"""Losses by name. A loss is a file of `distillation/losses/` that defines one function.

    loss(logits_BTV, targets_BT, ask) -> Tensor

in nats per token, a float32 scalar. `ask()` gives the `TeacherAnswer` to the same inputs; only a
loss with a teacher calls it. Keyword arguments are settings (`kd+temperature=2`). What it may ask
is what its file says (`loss_file.py`), wherever the teacher is.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor

from raydistill.core.parts import LOSS, load_part
from raydistill.distillation.answers import Ask, KnownAnswer
from raydistill.distillation.loss_file import FEATURE_TERMS, KNOWN
from raydistill.distillation.loss_name import loss_file, loss_settings, temperature_of

Loss = Callable[..., Tensor]


def load_loss(name: str) -> Loss:
    """The function of a loss, with the settings in its name (`kd+temperature=2`).

    Raises:
        UsageError: if there is no such loss or setting.
    """
    file, settings = loss_settings(name)
    loss = cast(Loss, load_part(LOSS, file, "loss"))
    own = {key: value for key, value in settings.items() if key not in FEATURE_TERMS}
    if loss_file(name).teacher != KNOWN:
        return partial(loss, **own)
    temperature = temperature_of(name)

    def on_what_is_known(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
        return loss(logits_BTV, targets_BT, lambda: KnownAnswer(ask(), temperature), **own)

    return on_what_is_known
