"""One trial from its spec to its scores: base, student, training, evaluation.

Each stage reads what the store has and makes only what it lacks, so a killed trial resumes,
and a finished one costs nothing.
"""

import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from raydistill.core.progress import UNKNOWN, StageProgress, report
from raydistill.data.batches import open_tokens
from raydistill.distillation.answer_cache import cached_teacher, windows_of
from raydistill.distillation.answer_files import WrittenSpec
from raydistill.distillation.loss_name import share_read, temperature_of
from raydistill.distillation.teacher_placement import parse_excerpt
from raydistill.distillation.teachers import (
    OnlineTeacher,
    Teacher,
    TeacherOverIds,
    compared_ids,
    no_teacher,
)
from raydistill.evaluation.likelihood.heldout_loss import heldout_loss
from raydistill.evaluation.scoring import scores_of
from raydistill.evaluation.stored_scores import measured, rung_path
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.sharding import release
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, config_of, load_weights, save_weights
from raydistill.pruning.width import cut
from raydistill.specs.flops import exact_flops, paper_flops
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import (
    Cost,
    HeldoutPoint,
    MadeBy,
    Progress,
    Record,
    Scores,
    Trained,
    TrialResult,
)
from raydistill.specs.trial import (
    Base,
    CachedTeacher,
    CutBase,
    ExternalBase,
    NoTeacher,
    RandomBase,
    TrialSpec,
)
from raydistill.storage.lock import BusyError
from raydistill.storage.manifest import sha256_of
from raydistill.storage.sharing import small_or_below, turn_of, waiting_line
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder, load_verified, teacher_shapes
from raydistill.training.devices import forget_peak_bytes, keep_peak, peak_bytes, sharing
from raydistill.training.jobs import StopAt, TrialJob
from raydistill.training.memory.expected import expected_bytes
from raydistill.training.resume import resume_or_start


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another sweep has the trial in work."""


Item = Progress | HeldoutPoint | TrialResult | Waiting


def trial(job: TrialJob, *, world: World, teacher: Teacher | None = None) -> Iterator[Item]:
    """Train and measure a trial; on the leading rank the last item is the `TrialResult`.

    Of several sweeps that need the trial at once one trains it, and the others yield `Waiting`
    every ten seconds or so.

    A job that stops early ends without one: the store then has its held-out loss there
    (`rung_path`), unless the trial had been trained further before.

    Args:
        job: what to train and to measure.
        world: this rank among those that train it.
        teacher: one on other devices; by default the spec's own.

    Raises:
        DataError: if the base or the corpus is missing or damaged.
        FloatingPointError: if the training diverges.
    """
    store = Store(Path(job.storage))
    with ExitStack() as turn:
        while not world.agreed(not world.leads or _has_turn(job, store, turn)):
            yield Waiting()
        if world.agreed(store.trained(job.spec.trial_id) is None):
            yield from _training(job, store, world, teacher)
        if world.leads and not isinstance(job.until, StopAt):
            yield _result(job, store, world)


def _has_turn(job: TrialJob, store: Store, turn: ExitStack) -> bool:
    """Whether no other sweep has this trial in work; then `turn` keeps others from it."""
    trial_id = job.spec.trial_id
    files = small_or_below(f"trials/{trial_id}")
    try:
        turn.enter_context(turn_of(store.root, "trial", trial_id, is_wanted=files))
    except BusyError as busy:
        line = waiting_line(busy.holder, "trial")
        report(StageProgress(stage=line, done=0, total=UNKNOWN, unit="trials"))
        return False
    return True


def _training(
    job: TrialJob, store: Store, world: World, teacher: Teacher | None
) -> Iterator[Progress | HeldoutPoint]:
    spec = job.spec
    store.path("trials", spec.trial_id, "failure.json").unlink(missing_ok=True)
    held_bytes = forget_peak_bytes(world)
    student = _student(spec.base, store)
    world = sharing(job, student.model.config, teacher_shapes(spec, store), world)
    if not world.sharded:  # else its shares come to the device block by block
        student.model.to(world.device)
    folder = store.path("trials", spec.trial_id, "checkpoints")
    start_s = time.perf_counter()
    teacher = teacher or _teacher(job, student.model.config, store, world)
    teacher = _over_compared_ids(teacher, spec, student.model.config, store)
    cached_s = time.perf_counter() - start_s if isinstance(spec.teacher, CachedTeacher) else 0.0
    run = resume_or_start(student, job, folder, world, teacher)
    run.record.teacher_s += cached_s
    yield from run.items
    if not world.leads and not world.sharded:
        return
    if not isinstance(job.until, StopAt):
        _save(job, student, run.record, store, world, held_bytes)
    elif run.record.tokens == job.until.tokens:
        _measure_rung(job, student, job.until.tokens, store, world)


def _student(base: Base, store: Store) -> Student:
    """The model to train: a base, one cut from another base, or fresh weights."""
    if isinstance(base, RandomBase):
        return Student(build(base.model, base.seed))
    if isinstance(base, CutBase):
        assert isinstance(base.base, ExternalBase), base
        return cut(load_weights(base_folder(base.base.weights_sha256, store)).model, base.model)
    assert isinstance(base, ExternalBase), "bases are pretrained before trials start"
    return load_weights(base_folder(base.weights_sha256, store))


def _teacher(job: TrialJob, model: ModelConfig, store: Store, world: World) -> Teacher:
    """No teacher, a frozen copy on this rank's device, or its answers in the store."""
    spec = job.spec
    if isinstance(spec.teacher, NoTeacher):
        return no_teacher
    base = spec.teacher.base if isinstance(spec.teacher, CachedTeacher) else spec.teacher
    assert isinstance(base, ExternalBase), base
    base_weights = base_folder(base.weights_sha256, store)

    def load() -> OnlineTeacher:
        teacher = load_weights(base_weights).model
        return OnlineTeacher(teacher, spec.train.recipe, world, job.teacher_sharded)

    if not isinstance(spec.teacher, CachedTeacher):
        return load()
    tokens = open_tokens(store.path("corpora", spec.train.corpus_sha256), model)
    form, size = parse_excerpt(spec.teacher.excerpt)
    return cached_teacher(
        WrittenSpec(
            teacher_sha256=base.weights_sha256,
            corpus_sha256=spec.train.corpus_sha256,
            tokenizer_sha256=spec.train.tokenizer_sha256,
            context=model.context,
            vocab_size=compared_ids(model, config_of(base_weights), tokens.folder),
            excerpt=form,
            size=size,
            temperature=temperature_of(spec.train.loss),
            precision=spec.train.recipe.precision,
        ),
        windows_of(spec.train, tokens),
        tokens=tokens,
        teacher=lambda: load().logits,
        store=store,
        cap_bytes=1e9 * job.cache_gb,
    )


def _over_compared_ids(
    teacher: Teacher, spec: TrialSpec, model: ModelConfig, store: Store
) -> Teacher:
    """A teacher without the padding that the student has not; one as wide as it is as it was."""
    if not isinstance(spec.teacher, ExternalBase):  # none, or it was written down over them
        return teacher
    shape = config_of(base_folder(spec.teacher.weights_sha256, store))
    if shape.vocab_size == model.vocab_size:
        return teacher
    corpus = store.path("corpora", spec.train.corpus_sha256)
    return TeacherOverIds(teacher, compared_ids(model, shape, corpus))


def _save(
    job: TrialJob, student: Student, record: Record, store: Store, world: World, held_bytes: int
) -> None:
    """Store the weights, then what they are, and delete the checkpoints."""
    key, recipe = ("trials", job.spec.trial_id), job.spec.train.recipe
    is_half = recipe.param_dtype == "bfloat16"
    is_known = held_bytes > 0 or world.device.type == "cuda"  # of a process not everywhere
    tensors = student.rounded_tensors() if is_half else student.named_tensors()
    if not world.leads:
        save_weights(None, student, tensors)
        return
    keep_peak(recipe.precision, store, world)
    with store.making(*key, "weights") as folder:
        save_weights(folder, student, tensors)
    cost = _cost(job, student.model.config, record, store, world)
    trained = Trained(
        trial_id=job.spec.trial_id,
        spec=job.spec,
        model=student.model.config,
        kept=tuple(student.kept),
        weights_sha256=sha256_of(store.path(*key, "weights", WEIGHTS)),
        trained_in=job.sweep,
        curve=record.thinned_curve(job.spec.train.recipe),
        heldout_curve=tuple(record.heldout_curve),
        cost=replace(cost, held_bytes=held_bytes, expected_bytes=is_known * cost.expected_bytes),
        made_by=MadeBy(
            device=world.device_kind,
            world_size=world.size,
            sharding=world.sharding,
            torch=torch.__version__,
            host=platform.node(),
            owner=job.owner,
        ),
        started_s=record.started_s,
        ended_s=time.time(),
        checkpoint_s=record.checkpoint_s,
    )
    store.save(trained, *key, "trained.json")
    shutil.rmtree(store.path(*key, "checkpoints"), ignore_errors=True)


def _measure_rung(job: TrialJob, student: Student, tokens: int, store: Store, world: World) -> None:
    """Store the held-out loss at `tokens`, without the layers that the next step would lack."""
    release(student.model, student.remove(job.spec.plan.due(tokens)))
    corpus = store.path("corpora", job.spec.train.corpus_sha256)
    nll = heldout_loss(student.model, corpus, job.evaluation)
    if world.leads:
        store.save(nll, *rung_path(job.spec, tokens, job.evaluation, store))


def _cost(job: TrialJob, model: ModelConfig, record: Record, store: Store, world: World) -> Cost:
    spec, recipe = job.spec, job.spec.train.recipe
    teachers = teacher_shapes(spec, store)
    share, on_cpu = share_read(spec.train.loss), world.device.type == "cpu"
    teacher = teachers[0] if teachers else model
    return Cost(
        tokens=recipe.total_tokens,
        flops_paper=paper_flops(model, spec.plan, recipe, teachers),
        flops_exact=exact_flops(model, spec.plan, recipe, teachers, share),
        train_s=record.train_s,
        evaluate_s=record.evaluate_s,
        teacher_s=record.teacher_s,
        peak_bytes=peak_bytes(world),
        expected_bytes=expected_bytes(
            job, model, teacher, devices=world.size, on_cpu=on_cpu, sharding=world.sharding
        ),
    )


def _result(job: TrialJob, store: Store, world: World) -> TrialResult:
    """The scores before and after, measured where the store lacks them."""
    spec, trained = job.spec, store.trained(job.spec.trial_id)
    assert trained is not None, "trained before it is measured"
    corpus = store.path("corpora", spec.train.corpus_sha256)

    def scores(weights_sha256: str, folder: Path) -> Scores:
        return scores_of(
            weights_sha256,
            lambda: load_verified(folder, weights_sha256).model.to(world.device),
            store=store,
            folder=corpus,
            spec=job.evaluation,
        )

    before = scores(job.base_sha256, base_folder(job.base_sha256, store))
    start_s = time.perf_counter()
    stored = measured(trained.weights_sha256, spec.train.corpus_sha256, job.evaluation, store)
    after = scores(trained.weights_sha256, store.path("trials", trained.trial_id, "weights"))
    if stored is None:
        evaluate_s = trained.cost.evaluate_s + time.perf_counter() - start_s
        cost = replace(trained.cost, evaluate_s=evaluate_s)
        trained = replace(trained, cost=cost, ended_s=time.time())
        store.save(trained, "trials", trained.trial_id, "trained.json")
    return TrialResult(trained=trained, before=before, after=after)
