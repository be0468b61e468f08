"""Losses by name. A loss is a file of `distillation/losses/` that defines one function.

    loss(logits_BTV, targets_BT, ask) -> Tensor

in nats per token, a float32 scalar. `ask()` gives the `TeacherAnswer` to the same inputs; only a
loss with a teacher calls it. Keyword arguments are settings (`kd+temperature=2`). What it may ask
is what its file says (`loss_file.py`), wherever the teacher is.

The targets of a loss are the next tokens, unless its file defines what else it reads of a batch:

    view(batch) -> View
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from raydistill.core.errors import OwnCodeError, UsageError
from raydistill.core.parts import LOSS, is_entry_point, load_part, part_file, part_in_file
from raydistill.data.batches import Batch
from raydistill.distillation.answers import Ask, KnownAnswer
from raydistill.distillation.divergence import NO_TARGET
from raydistill.distillation.loss_file import KNOWN
from raydistill.distillation.loss_name import (
    has_view,
    loss_file,
    loss_settings,
    no_chat,
    temperature_of,
)

Loss = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What a model reads of the windows of a batch, and which tokens it is to tell.

    Attributes:
        inputs: int64 [B, T].
        targets: int64 [B, M], -100 where there is none.
        at: int64 [B, M] in [0, T), the position whose logits tell each target; the loss gets
            those alone. None: M is T, and each position tells its own.
    """

    inputs: Tensor
    targets: Tensor
    at: Tensor | None = None

    def to(self, device: torch.device | str) -> "View":
        """The view on another device."""
        return View(
            inputs=self.inputs.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            at=None if self.at is None else self.at.to(device, non_blocking=True),
        )


def next_tokens(batch: Batch) -> View:
    """The view of a causal loss: each position tells the next token, if it is to be learned."""
    targets = batch.ids[:, 1:]
    if batch.learned is not None:
        targets = targets.masked_fill(~batch.learned[:, 1:], NO_TARGET)
    return View(inputs=batch.ids[:, :-1], targets=targets)


def load_loss(name: str) -> Loss:
    """The function of a loss, with the settings in its name (`kd+temperature=2`).

    Raises:
        UsageError: if there is no such loss or setting.
    """
    file, settings = loss_settings(name)
    loss = cast(Loss, load_part(LOSS, file, "loss"))
    own = {key: settings[key] for key in loss_file(name).of_loss if key in settings}
    known_alone, temperature = loss_file(name).teacher == KNOWN, temperature_of(name)

    def checked(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
        def ask_known() -> KnownAnswer:
            return KnownAnswer(ask(), temperature)

        value = loss(logits_BTV, targets_BT, ask_known if known_alone else ask, **own)
        _check(file, value, needs_gradient=torch.is_grad_enabled() and logits_BTV.requires_grad)
        return value

    return checked


def load_view(name: str) -> Callable[[Batch], View]:
    """What a loss reads of a batch: what its file says, with its settings; else `next_tokens`.

    Raises:
        UsageError: if there is no such loss or setting.
    """
    file, settings = loss_settings(name)
    if not has_view(name):
        return next_tokens
    view = load_part(LOSS, file, "view")
    own = {key: settings[key] for key in loss_file(name).of_view if key in settings}

    def checked(batch: Batch) -> View:
        if batch.learned is not None:
            raise UsageError(no_chat(name))
        seen = cast(Callable[..., object], view)(batch, **own)
        if fault := _fault(seen, batch):
            raise OwnCodeError(f"{part_in_file(LOSS, file)}: its view {fault}")
        return cast(View, seen)

    return checked


def _fault(view: object, batch: Batch) -> str:
    """What is wrong with a view of a batch; empty if nothing is."""
    if not isinstance(view, View):
        return f"gave a {type(view).__name__}, it must be a View"
    named = {"inputs": view.inputs, "targets": view.targets, "at": view.at}
    for name, ids in named.items():
        if ids is not None and (ids.dtype != torch.int64 or ids.dim() != 2):
            return f"gave {name} of {ids.dtype} {[*ids.shape]}, they must be int64 [B, ·]"
    inputs, targets, at = view.inputs, view.targets, view.at
    if len(inputs) != len(batch.ids):
        return f"gave {len(inputs)} rows of inputs for {len(batch.ids)} windows"
    if targets.shape != (inputs if at is None else at).shape:
        place = "inputs" if at is None else "positions"
        return f"gave targets {[*targets.shape]}, not as many as {place}"
    if at is not None and at.numel() and not 0 <= int(at.min()) <= int(at.max()) < inputs.shape[1]:
        return f"gave positions beyond its {inputs.shape[1]} inputs"
    if len(targets) != len(inputs):
        return f"gave {len(targets)} rows of targets for {len(inputs)} of inputs"
    return ""


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
