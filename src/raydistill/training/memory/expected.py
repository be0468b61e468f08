"""The memory that a training should take, from what it is told to do."""

from dataclasses import replace
from typing import Literal

from raydistill.distillation.loss_file import WHOLE
from raydistill.distillation.loss_name import feature_weights, has_teacher, loss_file, share_read
from raydistill.specs.memory.setup import Answer, Place, Setup, Sharding, TeacherAt
from raydistill.specs.memory.trial_memory import trial_memory
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import CachedTeacher, DropPlan, NoTeacher, Recipe
from raydistill.training.jobs import TrialJob


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


def expected_bytes(
    job: TrialJob,
    model: ModelConfig,
    teacher: ModelConfig,
    *,
    devices: int,
    on_cpu: bool,
    sharding: Sharding = "none",
) -> int:
    """What a trial takes on each of its devices, beside what was there before.

    Args:
        job: the trial.
        model: of the base.
        teacher: if the trial has one.
        devices: that share a step.
        on_cpu: whether they are CPUs.
        sharding: of the student over them.
    """
    spec, train = job.spec, job.spec.train
    at: TeacherAt | Literal["none"] = "none"
    if not isinstance(spec.teacher, NoTeacher):
        place: Place = "sharded" if job.teacher_sharded else "beside"
        place = "apart" if job.teacher_actor else place
        place = "cached" if isinstance(spec.teacher, CachedTeacher) else place
        at = TeacherAt(model=teacher, place=place)
    setup = setup_of(model, spec.plan, train.recipe, train.loss, on_cpu=on_cpu, teacher=at)
    windows = job.evaluation.curve_windows
    setup = replace(setup, devices=devices, sharding=sharding, evaluation_windows=windows)
    return trial_memory(setup).resident
