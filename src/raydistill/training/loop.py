"""The one training loop, as a generator that yields progress.

Pretraining a base, teacher-free distillation and the control are this loop with another plan
and another base. Stop iterating to stop training; the caller decides what to save.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from raydistill.core.fault_injection import fault_point
from raydistill.data.batches import Batch
from raydistill.distillation.divergence import NO_TARGET
from raydistill.distillation.feature_losses import feature_loss, watch_features
from raydistill.distillation.loss import Loss, View, load_loss, load_view, loss_called
from raydistill.distillation.loss_name import feature_weights, warm_loss
from raydistill.distillation.teachers import (
    OnlineTeacher,
    Teacher,
    TeacherOverIds,
    autocast,
    no_teacher,
)
from raydistill.models.activation_checkpointing import checkpointed
from raydistill.models.decoder import Decoder
from raydistill.models.distributed import World, without_sync
from raydistill.models.sharding import local, release, settle, shard_student, share_of
from raydistill.models.share_files import ShareFiles
from raydistill.models.student import Student
from raydistill.specs.recipe import lr_at
from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.trial import DropPlan, Recipe, TrainSpec
from raydistill.training.jobs import HELDOUT_AT
from raydistill.training.optimizers import Optimizer, optimizer_of


@dataclass(slots=True)
class Training:
    """The state between two steps, and so what a checkpoint holds."""

    student: Student
    optimizer: Optimizer
    step: int = 0
    shares: ShareFiles | Literal["none"] = "none"  # of a sharded student, what writes them

    def named_tensors(self) -> dict[str, Tensor]:
        """The student's, its weights as they are trained: in float32 whatever it computes with."""
        trained = {
            name: self.optimizer.float32(p) for name, p in self.student.named_parameters().items()
        }
        return self.student.named_tensors() | trained

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy in values by the names of `named_tensors`."""
        for name, tensor in self.named_tensors().items():
            local(tensor).copy_(share_of(tensors[name], tensor))
        self.optimizer.publish()


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss by name, its function, what it reads of a batch, its teacher, its feature weights."""

    name: str
    loss: Loss
    view: Callable[[Batch], View]
    teacher: Teacher
    features: Mapping[str, float]

    @staticmethod
    def of(name: str, teacher: Teacher) -> "Objective":
        """The loss of that name, with the settings in it."""
        return Objective(name, load_loss(name), load_view(name), teacher, feature_weights(name))

    def __call__(
        self, student: Student, model: nn.Module, batch: Batch, device: torch.device
    ) -> Tensor:
        """The loss on some windows, a scalar on `device`.

        Args:
            student: with its model on that device.
            model: the student's, as wrapped by `World`.
            batch: the windows, on the CPU.
            device: that computes.
        """
        on_device, view = batch.to(device), self.view(batch).to(device)
        inputs_BT, targets_BM = view.inputs, view.targets
        if not self.features:
            logits_BMV = model(inputs_BT) if view.at is None else model(inputs_BT, view.at)
            return self.loss(logits_BMV, targets_BM, lambda: self.teacher(on_device))
        online = self.teacher.whole if isinstance(self.teacher, TeacherOverIds) else self.teacher
        if not isinstance(online, OnlineTeacher):
            raise TypeError(f"{', '.join(self.features)}: the teacher must be on this device")
        teacher = online.model
        with watch_features(teacher) as of_teacher, watch_features(student.model) as of_student:
            logits_BTV, answer = model(inputs_BT), self.teacher(on_device)
        value = self.loss(logits_BTV, targets_BM, lambda: answer)
        learned_BT = None if batch.learned is None else targets_BM != NO_TARGET
        return value + feature_loss(
            self.features, student, teacher, of_student, of_teacher, learned_BT
        )


def initial_state(
    student: Student, plan: DropPlan, recipe: Recipe, world: World | None = None
) -> Training:
    """The state before the first step: layers that will leave are frozen, no momentum yet.

    The weights are as the recipe has them, and sharded if the world is; buffers, such as rotary
    angles, stay as they are.
    """
    student.freeze(plan.layers)
    bfloat16 = recipe.param_dtype == "bfloat16"
    if world and world.sharded:
        shard_student(student.model, device=world.device, ranks=world.size, bfloat16=bfloat16)
        bfloat16 = False  # the shares are what the optimizer has in float32
    trainable = [p for p in student.model.parameters() if p.requires_grad]
    if not bfloat16:
        shares: ShareFiles | Literal["none"] = ShareFiles() if world and world.sharded else "none"
        return Training(student, optimizer_of(trainable, recipe), shares=shares)
    whole = {p: p.detach().float() for p in trainable}
    student.to_bfloat16()
    state = Training(student, optimizer_of(trainable, recipe))
    for p, weights in whole.items():
        state.optimizer.float32(p).copy_(weights)
    return state


def train(
    state: Training,
    batch_of: Callable[[int], Batch],
    *,
    plan: DropPlan,
    spec: TrainSpec,
    world: World,
    heldout_nll: Callable[[Decoder], float],
    teacher: Teacher = no_teacher,
) -> Iterator[Progress | HeldoutPoint]:
    """Train `state` in place to the end of its recipe, removing layers when `plan` says so.

    Args:
        state: where to start; it is complete whenever the generator yields.
        batch_of: the global batch of a step.
        plan: which layers leave, and when.
        spec: the recipe and the loss; the warm phase trains on the LM loss, or on one with targets
            of its own (`warm_loss`).
        world: this rank among those that train together.
        heldout_nll: nats per held-out token of a model, called at `HELDOUT_AT`.
        teacher: answers a loss that needs one.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    recipe, student = spec.recipe, state.student
    warm = Objective.of(warm_loss(spec.loss), no_teacher)
    healing = Objective.of(spec.loss, teacher)
    model = world.wrap(student.model)
    heldout_at = heldout_steps(recipe)
    while True:
        tokens = state.step * recipe.batch_tokens
        _remove_due(student, plan, tokens, world)
        if state.step in heldout_at:
            nll = heldout_nll(student.model)
            settle(student.model)
            yield HeldoutPoint(tokens=tokens, nll=nll)
        if state.step >= recipe.total_steps:
            return
        lr = lr_at(recipe, tokens + recipe.batch_tokens)
        state.optimizer.set_lr(lr)
        fault_point("step", number=state.step + 1, rank=world.rank)
        objective = healing if tokens >= recipe.warm_phase_tokens else warm
        with checkpointed(student.model.blocks, recipe.activation_checkpointing):
            mean_loss = _step(state, model, objective, batch_of(state.step), recipe, world)
        state.step += 1
        yield Progress(
            tokens=tokens + recipe.batch_tokens,
            loss=mean_loss,
            lr=lr,
            num_layers=len(student.kept),
        )


def _remove_due(student: Student, plan: DropPlan, tokens: int, world: World) -> None:
    """Remove the layers that are due after `tokens`, if they are still there."""
    if not set(plan.due(tokens)).isdisjoint(student.kept):
        times = {drop.at_tokens for drop in plan.drops if drop.at_tokens <= tokens}
        fault_point("removal", number=len(times), rank=world.rank)
        release(student.model, student.remove(plan.due(tokens)))


def heldout_steps(recipe: Recipe) -> set[int]:
    """The steps before which held-out nll is measured."""
    warm = recipe.warm_phase_tokens // recipe.batch_tokens
    return {warm + round(share * (recipe.total_steps - warm)) for share in HELDOUT_AT}


def _step(
    state: Training,
    model: nn.Module,
    objective: Objective,
    batch: Batch,
    recipe: Recipe,
    world: World,
) -> float:
    """One optimizer step on this rank's micro-batches; the global mean loss, nats per token.

    Where some tokens are not to be told, a micro-batch weighs as many as it has to tell: the loss
    of a step is the mean over those of all its windows, however these are parted.
    """
    own = batch.micro_batches(recipe.micro_batches)[world.rank :: world.size]
    total = torch.zeros((), device=world.device)
    for number, micro_batch in enumerate(own, start=1):
        with without_sync(model, number == len(own)):
            with autocast(recipe, world):
                value = objective(state.student, model, micro_batch, world.device)
                if batch.learned is None:
                    value = value / len(own)
                else:  # ranks are averaged, so each counts as many times as there are
                    share = micro_batch.num_targets / max(1, batch.num_targets)
                    value = value * (world.size * share)
            value.backward()
        total += value.detach()
    mean_loss = world.mean(total)
    if not math.isfinite(mean_loss):
        raise FloatingPointError(
            f"{loss_called(objective.name)} is {mean_loss} at step {state.step}"
        )
    state.optimizer.clip_gradients(recipe.grad_clip, world.total if world.sharded else None)
    state.optimizer.step()
    state.optimizer.zero_grad()
    return mean_loss
