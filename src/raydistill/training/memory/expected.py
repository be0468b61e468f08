"""The memory that a training should take, from what it is told to do."""

from typing import Literal

from raydistill.distillation.loss_file import WHOLE
from raydistill.distillation.loss_name import feature_weights, has_teacher, loss_file, share_read
from raydistill.specs.memory.setup import Answer, Setup, TeacherAt
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import DropPlan, Recipe


def setup_of(
    model: ModelConfig,
    plan: DropPlan,
    recipe: Recipe,
    loss: str,
    *,
    on_cpu: bool,
    teacher: TeacherAt | Literal["none"] = "none",
) -> Setup:
    """What of a training decides the bytes on its device; on one, without a held-out curve.

    Args:
        model: of the base.
        plan: which layers leave, and when.
        recipe: of the training.
        loss: its name.
        on_cpu: whether its devices are CPUs.
        teacher: of the loss, and where it is.
    """
    answer: Answer = "none"
    if teacher != "none" and has_teacher(loss):
        answer = "whole" if loss_file(loss).teacher == WHOLE else "known"
    return Setup(
        model=model,
        plan=plan,
        recipe=recipe,
        on_cpu=on_cpu,
        teacher=teacher,
        answer=answer,
        mask_share=share_read(loss),
        keeps_features=bool(feature_weights(loss)),
    )
