"""Whom a loss may ask. A teacher gets the windows of a batch and gives an `Answer`.

It does not matter to the loop where the teacher stands: `OnlineTeacher` is a frozen copy on this
rank's own device, `runners/teacher_actors.py` asks one that stands on devices of its own.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from raydistill.data.batches import Batch
from raydistill.distillation.answers import TeacherAnswer, WholeAnswer
from raydistill.models.decoder import Decoder
from raydistill.models.distributed import World
from raydistill.specs.trial import Recipe


class Teacher(Protocol):
    """Asked once per micro-batch, by losses that need it."""

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """What the teacher says at every position of the windows but their last."""


def no_teacher(batch: Batch) -> TeacherAnswer:
    """Stands where teacher-free training has no teacher.

    Raises:
        LookupError: always.
    """
    raise LookupError(f"a loss asked for a teacher of {tuple(batch.ids.shape)}, and there is none")


@dataclass(frozen=True, slots=True)
class OnlineTeacher:
    """A frozen copy of a base in eval mode, in the precision of the trial.

    Each rank has a copy, or with `sharded` a share of one: FSDP2 brings the others' for as long as
    a block computes, so that the logits are the same to the bit.
    """

    model: Decoder
    recipe: Recipe
    world: World
    sharded: bool = False

    def __post_init__(self) -> None:
        self.model.to(self.world.device).requires_grad_(False).eval()
        if self.sharded and self.world.size > 1:
            self.world.shard(self.model, self.model.blocks)

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """All that the teacher says of these windows."""
        return WholeAnswer(self.logits(batch.ids[:, :-1]))

    def logits(self, inputs_BT: Tensor) -> Tensor:
        """All logits [B, T, V] of inputs [B, T], of one forward pass without gradients."""
        with torch.no_grad(), autocast(self.recipe, self.world):
            out_BTV: Tensor = self.model(inputs_BT.to(self.world.device))
        return out_BTV


def autocast(recipe: Recipe, world: World) -> torch.autocast:
    """The precision that a recipe computes in; weights and momentum stay float32."""
    mixed = recipe.precision == "bfloat16"
    return torch.autocast(world.device.type, dtype=torch.bfloat16, enabled=mixed)
