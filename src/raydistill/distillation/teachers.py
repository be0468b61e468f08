"""Teachers: each gives a `TeacherAnswer` to the windows of a batch.

`OnlineTeacher` is a frozen copy on this rank's device, `runners/teacher_actors.py` has one on
devices of its own, `distillation/answer_files.py` reads stored answers.
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
    """Called once per micro-batch, by losses that need it."""

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """The answer at every position of the windows but their last."""


def no_teacher(batch: Batch) -> TeacherAnswer:
    """The teacher of teacher-free training.

    Raises:
        LookupError: always.
    """
    raise LookupError(f"a loss asked for a teacher of {tuple(batch.ids.shape)}, and there is none")


@dataclass(frozen=True, slots=True)
class OnlineTeacher:
    """A frozen copy of a base in eval mode, in the precision of the trial.

    Each rank has a copy, or with `sharded` a share of one: FSDP2 gathers each block for as long as
    it computes, so the logits are the same bit for bit.
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
        """The teacher's logits for these windows."""
        return WholeAnswer(self.logits(batch.ids[:, :-1]))

    def logits(self, inputs_BT: Tensor) -> Tensor:
        """Logits [B, T, V] of inputs [B, T], from a forward pass without gradients."""
        with torch.no_grad(), autocast(self.recipe, self.world):
            logits_BTV: Tensor = self.model(inputs_BT.to(self.world.device))
        return logits_BTV


def autocast(recipe: Recipe, world: World) -> torch.autocast:
    """Autocast to the precision of a recipe; weights and momentum stay float32."""
    mixed = recipe.precision == "bfloat16"
    return torch.autocast(world.device.type, dtype=torch.bfloat16, enabled=mixed)
