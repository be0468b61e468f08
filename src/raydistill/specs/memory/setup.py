"""What of a trial decides the bytes that it takes."""

from dataclasses import dataclass
from typing import Literal

from raydistill.specs.flops import masked_tokens
from raydistill.specs.memory.activations import FLOAT, HALF, Numerics
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import DropPlan, Recipe

Sharding = Literal["none", "fully"]
Place = Literal["beside", "sharded", "apart", "cached"]
Answer = Literal["none", "known", "whole"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherAt:
    """A teacher and where it is."""

    model: ModelConfig
    place: Place = "beside"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """All of a trial that decides the bytes on each of its devices.

    Attributes:
        model: of the base.
        plan: which layers leave, and when.
        recipe: its micro-batches, optimizer, precision and settings of memory count.
        on_cpu: whether its devices are CPUs.
        teacher: of a loss that asks for one.
        answer: what its loss asks a teacher for: nothing, ids that a cache keeps, or all ids.
        mask_share: of a window's tokens, those that the head reads; 0: all.
        keeps_features: whether the loss compares hidden states.
        devices: that share a step.
        sharding: of weights, gradients and optimizer: whole on each device, or a share.
        evaluation_windows: on which the held-out loss is measured between steps.
    """

    model: ModelConfig
    plan: DropPlan
    recipe: Recipe
    on_cpu: bool
    teacher: TeacherAt | Literal["none"] = "none"
    answer: Answer = "none"
    mask_share: float = 0.0
    keeps_features: bool = False
    devices: int = 1
    sharding: Sharding = "none"
    evaluation_windows: int = 0

    @property
    def numerics(self) -> Numerics:
        """In what numbers it computes."""
        half = self.recipe.param_dtype == "bfloat16"
        precision = self.recipe.precision
        return Numerics(precision=precision, on_cpu=self.on_cpu, half_weights=half)

    @property
    def windows(self) -> int:
        """Of a micro-batch."""
        return self.recipe.batch_tokens // (self.model.context * self.recipe.micro_batches)

    @property
    def shares(self) -> int:
        """Into how many its weights, gradients and optimizer are divided."""
        return self.devices if self.sharding == "fully" else 1

    @property
    def weight_bytes(self) -> int:
        """Of a parameter."""
        return HALF if self.recipe.param_dtype == "bfloat16" else FLOAT

    @property
    def is_checkpointed(self) -> bool:
        """Whether blocks are computed again in the backward pass."""
        return self.recipe.activation_checkpointing == "blocks"

    @property
    def is_accumulating(self) -> bool:
        """Whether a device has several micro-batches in a step."""
        return self.recipe.micro_batches > self.devices

    @property
    def micro_tokens(self) -> int:
        """Of a micro-batch."""
        return self.windows * self.model.context

    @property
    def read_logits(self) -> int:
        """The numbers that a student's head gives for a micro-batch."""
        read = self.windows * masked_tokens(self.model.context, self.mask_share)
        return read * self.model.vocab_size
