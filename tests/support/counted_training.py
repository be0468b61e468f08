"""Real steps of a training on random tokens, whose tensors' bytes are counted."""

import functools
from dataclasses import fields

from raydistill.distillation.teachers import OnlineTeacher, no_teacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.memory.setup import Setup
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, Recipe, TrainSpec
from raydistill.training.loop import initial_state, train
from raydistill.training.probe import _random_batch
from support.live_bytes import LiveBytes


def setup_of(model: ModelConfig, windows: int, **more) -> Setup:
    """A trial on a CPU with `windows` in each of its micro-batches; Setup's or Recipe's fields."""
    names = [field.name for field in fields(Recipe) if field.name in more]
    recipe = {name: more.pop(name) for name in names}
    micro = recipe.setdefault("micro_batches", 1)
    batch = windows * micro * model.context
    made = Recipe(
        peak_lr=1e-3, budget_tokens=1000 * batch, batch_tokens=batch, warmup_tokens=0, **recipe
    )
    return Setup(**{"model": model, "plan": DropPlan(), "recipe": made, "on_cpu": True, **more})


def counted_peak(setup: Setup, *, steps: int = 3) -> int:
    """The most bytes of tensors at once in the last of some steps of a setup."""
    model, world = setup.model, World.here()
    student = Student(build(model, seed=0))
    loss, teacher, held = "lm", no_teacher, []
    if setup.teacher != "none":
        frozen = build(setup.teacher.model, seed=1)
        loss, teacher = "kd", OnlineTeacher(frozen, setup.recipe, world)
        held = [*frozen.parameters()]
    windows = setup.recipe.batch_tokens // model.context
    state = initial_state(student, setup.plan, setup.recipe)
    live = LiveBytes()
    for parameter in (*student.model.parameters(), *state.optimizer.updated, *held):
        live.add(parameter)
    items = train(
        state,
        functools.partial(_random_batch, model.vocab_size, model.context, windows),
        plan=setup.plan,
        spec=TrainSpec(
            recipe=setup.recipe, loss=loss, seed=0, corpus_sha256="", tokenizer_sha256=""
        ),
        world=world,
        heldout_nll=lambda _: 0.0,
        teacher=teacher,
    )
    with live:
        for _ in range(steps):
            live.most = live.now
            while not isinstance(next(items), Progress):
                pass
    return live.most
