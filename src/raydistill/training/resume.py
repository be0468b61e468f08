"""Training that resumes: the loop between its checkpoints."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.data.batches import open_tokens
from raydistill.distillation.teachers import Teacher, no_teacher
from raydistill.evaluation.likelihood.heldout_loss import curve_nll
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.recipe import decay_start
from raydistill.specs.results import (
    HeldoutPoint,
    Progress,
    Record,
)
from raydistill.storage.store import Store
from raydistill.training.checkpoint import load_checkpoint, save_checkpoint
from raydistill.training.jobs import PretrainJob, StopAt, TrialJob
from raydistill.training.loop import Training, initial_state, train

Items = Iterator[Progress | HeldoutPoint]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The rest of a training: what was measured before and since, and the items to come."""

    record: Record
    items: Items


def resume_or_start(
    student: Student,
    job: TrialJob | PretrainJob,
    folder: Path,
    world: World,
    teacher: Teacher = no_teacher,
) -> TrainingRun:
    """Resume from the newest checkpoint in `folder`, or start; training runs as items are taken.

    Raises:
        DataError: if the corpus is not in the store, or is not the model's.
    """
    spec, model = job.spec, student.model.config
    recipe = spec.train.recipe
    store = Store(Path(job.storage))
    corpus = store.path("corpora", spec.train.corpus_sha256)
    tokens = open_tokens(corpus, model)
    state = initial_state(student, spec.plan, recipe, world)
    record = load_checkpoint(folder, state, world)
    prefix = shared_prefix_folder(job, store) if recipe.schedule == "wsd" else None
    if prefix and not record.tokens:
        max_steps = decay_start(recipe) // recipe.batch_tokens
        record = load_checkpoint(prefix, state, world, max_steps=max_steps)
    steps = train(
        state,
        tokens.batches(spec.train, recipe.batch_tokens // model.context),
        plan=spec.plan,
        spec=spec.train,
        world=world,
        heldout_nll=curve_nll(corpus, job.evaluation),
        teacher=teacher,
    )
    every_s = job.checkpoint_every_s
    items = with_checkpoints(steps, state, record, folder=folder, every_s=every_s, world=world)
    if prefix:
        at = decay_start(recipe)
        items = saving_prefix(items, state, record, folder=prefix, at_tokens=at, world=world)
    if isinstance(job, TrialJob) and isinstance(job.until, StopAt):
        items = stopping_at(job.until.tokens, items, state, record, folder=folder, world=world)
    return TrainingRun(record, items)


def shared_prefix_folder(job: TrialJob | PretrainJob, store: Store) -> Path:
    """Where the checkpoint lies that trainings which differ in their budget alone share.

    Under the schedule "wsd" they are one run until the first of them decays.
    """
    recipe = replace(job.spec.train.recipe, budget_tokens=0)
    spec = replace(job.spec, train=replace(job.spec.train, recipe=recipe))
    return store.path("trunks", spec.trial_id)


def with_checkpoints(
    steps: Items, state: Training, record: Record, *, folder: Path, every_s: float, world: World
) -> Items:
    """The items of `train`, noted in `record`, with a checkpoint about every `every_s` seconds.

    With 0 seconds there is one after every step. Closed between two items it leaves a checkpoint
    too: so ends a training that is stopped.

    A checkpoint is made between two steps and read back bit for bit, so when it is made does
    not change the result. Rank 0 writes; all ranks hold the same, or a share each, which they send.
    """
    takes_part = world.leads or world.sharded
    item_start_s = last_saved_s = time.perf_counter()
    wait_s = every_s
    for item in steps:
        record.add(item, time.perf_counter() - item_start_s)
        try:
            yield item
        except GeneratorExit:
            if takes_part and state.step > 0:
                save_checkpoint(folder, state, record.up_to(item), world)
                wait_for_shares(state)
            raise
        item_start_s = time.perf_counter()
        is_due = isinstance(item, Progress) and item_start_s - last_saved_s >= wait_s
        if world.sharded:  # every rank takes part, and their clocks differ
            is_due = bool(world.agreed(is_due))
        if takes_part and is_due:
            save_checkpoint(folder, state, record, world)
            last_saved_s = time.perf_counter()
            # Of a large model's time at most a twentieth goes into saving it.
            wait_s = max(every_s, 20 * (last_saved_s - item_start_s)) if every_s else 0.0
            item_start_s = last_saved_s
    wait_for_shares(state)


def wait_for_shares(state: Training) -> None:
    """Wait until a checkpoint of a sharded student that is being written is."""
    if state.shares != "none":
        state.shares.wait()


def saving_prefix(
    items: Items, state: Training, record: Record, *, folder: Path, at_tokens: int, world: World
) -> Items:
    """The items, and at `at_tokens` a checkpoint from which a longer training can start."""
    for item in items:
        yield item
        takes_part = world.leads or world.sharded
        if takes_part and isinstance(item, Progress) and item.tokens == at_tokens:
            save_checkpoint(folder, state, record, world)


def stopping_at(
    tokens: int, items: Items, state: Training, record: Record, *, folder: Path, world: World
) -> Items:
    """The items until `tokens` are trained, then a checkpoint; nothing if they already are."""
    if record.tokens >= tokens:
        return
    for item in items:
        yield item
        if record.tokens >= tokens:
            break
    if world.leads or world.sharded:
        save_checkpoint(folder, state, record, world)
        wait_for_shares(state)
