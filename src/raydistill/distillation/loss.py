"""Losses by name. A loss is a file of `distillation/losses/` that defines one function.

    loss(logits_BTV, targets_BT, ask) -> Tensor

in nats per token, a float32 scalar. `ask()` gives the `TeacherAnswer` to the same inputs; only a
loss with a teacher calls it. Keyword arguments are settings (`kd+temperature=2`). What it may ask
is what its file says (`loss_file.py`), wherever the teacher is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import LOSS, is_entry_point, load_part, part_file, part_in_file
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
    known_alone, temperature = loss_file(name).teacher == KNOWN, temperature_of(name)

    def checked(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
        def ask_known() -> KnownAnswer:
            return KnownAnswer(ask(), temperature)

        value = loss(logits_BTV, targets_BT, ask_known if known_alone else ask, **own)
        _check(file, value, needs_gradient=torch.is_grad_enabled() and logits_BTV.requires_grad)
        return value

    return checked


def loss_called(name: str) -> str:
    """A loss in a message; with its file where it is one's own.

    Raises:
        UsageError: if there is no such loss.
    """
    file = name.partition("+")[0]
    own = is_entry_point(LOSS, file) or not part_file(LOSS, file).is_relative_to(
        Path(__file__).parent
    )
    return part_in_file(LOSS, file) if own else "the loss"


def _check(file: str, value: object, *, needs_gradient: bool) -> None:
    if not isinstance(value, Tensor):
        given = f"a {type(value).__name__}"
    elif value.dim():
        given = f"a tensor {[*value.shape]}"
    elif needs_gradient and not value.requires_grad:
        given = "a number without a gradient"
    elif value.dtype != torch.float32:
        given = f"a number of {value.dtype}"
    else:
        return
    raise OwnCodeError(
        f"{part_in_file(LOSS, file)} gave {given}: it must be a scalar float32 tensor with a "
        "gradient"
    )
