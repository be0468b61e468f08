"""Training that goes on where it stopped: the loop between its checkpoints."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.serialization import from_json, to_json
from raydistill.data.batches import open_tokens
from raydistill.distillation.teachers import Teacher, no_teacher
from raydistill.evaluation.likelihood.perplexity import curve_nll
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.training_record import Record
from raydistill.storage.store import Store
from raydistill.training.checkpoint import load_checkpoint, save_checkpoint
from raydistill.training.jobs import PretrainJob, StopAt, TrialJob
from raydistill.training.loop import Training, begin, train
from raydistill.training.optimizers import decay_start


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The rest of a training: what was measured before and since, and the items to come."""

    record: Record
    items: Iterator[Progress | HeldoutPoint]


def resume_or_start(
    student: Student,
    job: TrialJob | PretrainJob,
    folder: Path,
    world: World,
    teacher: Teacher = no_teacher,
) -> TrainingRun:
    """Go on from the newest checkpoint in `folder`, or begin; nothing runs until it is asked for.

    Raises:
        DataError: if the corpus is not in the store, or is not the model's.
    """
    spec, model = job.spec, student.model.config
    recipe = spec.train.recipe
    corpus = Store(Path(job.storage)).path("corpora", spec.train.corpus_sha256)
    tokens = open_tokens(corpus, model)
    state = begin(student, spec.plan, recipe)
    record = resume(state, folder, world)
    trunk = _trunk(job) if recipe.schedule == "wsd" else None
    if trunk and not record.tokens:
        record = resume(state, trunk, world, most_steps=decay_start(recipe) // recipe.batch_tokens)
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
    items = recorded(steps, state, record, folder=folder, every_s=every_s, world=world)
    if trunk:
        items = branching(items, state, record, trunk, at_tokens=decay_start(recipe), world=world)
    if isinstance(job, TrialJob) and isinstance(job.until, StopAt):
        items = stopping(items, state, record, folder=folder, tokens=job.until.tokens, world=world)
    return TrainingRun(record, items)


def _trunk(job: TrialJob | PretrainJob) -> Path:
    """What trainings that differ in their budget alone share until their rates begin to fall."""
    recipe = replace(job.spec.train.recipe, budget_tokens=0)
    spec = replace(job.spec, train=replace(job.spec.train, recipe=recipe))
    return Store(Path(job.storage)).path("trunks", spec.trial_id)


def branching(
    items: Iterator[Progress | HeldoutPoint],
    state: Training,
    record: Record,
    trunk: Path,
    *,
    at_tokens: int,
    world: World,
) -> Iterator[Progress | HeldoutPoint]:
    """The items, and a checkpoint in `trunk` where a longer training can go on."""
    for item in items:
        yield item
        if world.leads and isinstance(item, Progress) and item.tokens == at_tokens:
            save_checkpoint(trunk, state, to_json(record))


def resume(state: Training, folder: Path, world: World, *, most_steps: int = sys.maxsize) -> Record:
    """Bring `state` to the newest checkpoint in `folder`; what was measured until then."""
    notes = load_checkpoint(folder, state, world, most_steps=most_steps)
    return from_json(Record, notes) if notes else Record()


def recorded(
    steps: Iterator[Progress | HeldoutPoint],
    state: Training,
    record: Record,
    *,
    folder: Path,
    every_s: float,
    world: World,
) -> Iterator[Progress | HeldoutPoint]:
    """The items of `train`, noted in `record`, with a checkpoint every `every_s` seconds or so.

    With 0 seconds there is one after every step.

    Closed between two items, it leaves a checkpoint too: so ends a training that is stopped.

    A checkpoint is made between two steps and read back bit for bit, so when it is made does
    not change what comes out. Rank 0 writes; all ranks hold the same.
    """
    began = saved = time.perf_counter()
    wait_s = every_s
    for item in steps:
        record.add(item, time.perf_counter() - began)
        try:
            yield item
        except GeneratorExit:
            if world.leads and state.step > 0:
                save_checkpoint(folder, state, to_json(record.up_to(item)))
            raise
        began = time.perf_counter()
        if world.leads and isinstance(item, Progress) and began - saved >= wait_s:
            save_checkpoint(folder, state, to_json(record))
            saved = time.perf_counter()
            # Of a large model's time at most a twentieth goes into saving it.
            wait_s = max(every_s, 20 * (saved - began)) if every_s else 0.0
            began = saved


def stopping(
    items: Iterator[Progress | HeldoutPoint],
    state: Training,
    record: Record,
    *,
    folder: Path,
    tokens: int,
    world: World,
) -> Iterator[Progress | HeldoutPoint]:
    """The items until `tokens` are trained, and then a checkpoint; none if they are already."""
    if record.tokens >= tokens:
        return
    for item in items:
        yield item
        if record.tokens >= tokens:
            break
    if world.leads:
        save_checkpoint(folder, state, to_json(record))
