"""Teachers: each gives a `TeacherAnswer` to the windows of a batch.

`OnlineTeacher` is a frozen copy on this rank's device, `runners/teacher_actors.py` has one on
devices of its own, `distillation/answer_files.py` reads stored answers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from raydistill.data.batches import Batch
from raydistill.data.corpus.heldout_documents import read_info
from raydistill.distillation.answers import TeacherAnswer, WholeAnswer
from raydistill.models.decoder import Decoder
from raydistill.models.distributed import World
from raydistill.models.sharding import shard
from raydistill.specs.model import ModelConfig
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
            world = self.world
            shard(self.model, self.model.blocks, device=world.device, ranks=world.size)

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """The teacher's logits for these windows."""
        return WholeAnswer(self.logits(batch.ids[:, :-1]))

    def logits(self, inputs_BT: Tensor) -> Tensor:
        """Logits [B, T, V] of inputs [B, T], from a forward pass without gradients."""
        with torch.no_grad(), autocast(self.recipe, self.world):
            logits_BTV: Tensor = self.model(inputs_BT.to(self.world.device))
        return logits_BTV


@dataclass(frozen=True, slots=True)
class TeacherOverIds:
    """A teacher that answers over the first `ids` rows of its vocabulary alone.

    Rows behind them are padding, which no text has: another model has fewer or more of it.
    """

    whole: Teacher
    ids: int

    def __call__(self, batch: Batch) -> TeacherAnswer:
        """The answer without the padding; one that keeps some ids has none."""
        answer = self.whole(batch)
        return (
            WholeAnswer(answer.logits[..., : self.ids])
            if isinstance(answer, WholeAnswer)
            else answer
        )


def compared_ids(student: ModelConfig, teacher: ModelConfig, corpus: Path) -> int:
    """The first so many ids are what the KL is over: all, where both have as many rows.

    Where one has more padding, they are the ids that texts can have.

    Args:
        student: its shape.
        teacher: its shape.
        corpus: the folder of the tokens.
    """
    if student.vocab_size == teacher.vocab_size:
        return student.vocab_size
    return min(student.vocab_size, teacher.vocab_size, read_info(corpus).vocab_size)


def autocast(recipe: Recipe, world: World) -> torch.autocast:
    """Autocast to the precision of a recipe; weights and momentum stay float32."""
    mixed = recipe.precision == "bfloat16"
    return torch.autocast(world.device.type, dtype=torch.bfloat16, enabled=mixed)
