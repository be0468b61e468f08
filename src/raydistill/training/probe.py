"""A few seconds on a device: its matmul peak, and real steps of a plan's models.

Weights are fresh and tokens random: neither changes how long a step takes.
"""

import functools
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from raydistill.data.batches import Batch
from raydistill.data.masking import num_targets
from raydistill.distillation.loss_name import share_read
from raydistill.distillation.teachers import OnlineTeacher, Teacher, no_teacher
from raydistill.evaluation.likelihood.continuations import TOKENS_PER_BATCH
from raydistill.evaluation.likelihood.perplexity import window_nats
from raydistill.evaluation.lm_harness.task_data import ITEMS, data_folder
from raydistill.evaluation.task_items import item_files
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.models.decoder import Decoder, build
from raydistill.models.distributed import World
from raydistill.models.huggingface.shape.leaving import some_layers
from raydistill.models.student import Student
from raydistill.specs.evaluation import TaskSource
from raydistill.specs.flops import exact_flops, parameters
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe, TrainSpec
from raydistill.storage.store import Store
from raydistill.training.devices import forget_peak_bytes, free_bytes, keep_peak, peak_bytes, timed
from raydistill.training.jobs import HELDOUT_AT, ProbeJob, Variant
from raydistill.training.loop import initial_state, train
from raydistill.training.throughput import PROBE, Pace, Peak, Rate, Unmeasured, pace_name

STEP_S = 20.0  # a step that would take longer at the device's peak is not tried
_MIN_SECONDS, _MIN_STEPS = 1.0, 3  # of each variant
_MAX_MICRO_BATCHES = 4  # of a step: further ones take as long
_MAX_ITEMS = 24  # of each task


def probe(job: ProbeJob, *, world: World) -> Rate | Unmeasured:
    """How fast this device trains and measures each variant, or why that cannot be tried."""
    peak = keep_peak(job.recipe.precision, Store(Path(job.storage)), world)
    recipe = _short(job.recipe, job.devices)
    for variant in job.variants:
        if reason := _too_large(job, variant, recipe, peak, world):
            return Unmeasured(reason=reason)
    # The smallest first: on a CPU the peak memory never shrinks.
    variants = sorted(job.variants, key=lambda v: (-v.removed, len(v.teachers)))
    paces = tuple(_pace(job, variant, recipe, world) for variant in variants)
    return Rate(device=world.device_kind, source=PROBE, paces=paces, left_out=tuple(_left_out(job)))


def _left_out(job: ProbeJob) -> Iterator[str]:
    available = {*_items(job), *(source.task for source in _sources(job))}
    if missing := sorted(set(job.evaluation.tasks) - available):
        yield f"tasks whose questions are not made yet ({', '.join(missing)})"
    if job.devices > 1:
        yield "what the devices of a trial tell each other"


def _short(recipe: Recipe, devices: int) -> Recipe:
    """One device's share of a step, at most `_MAX_MICRO_BATCHES` of it."""
    own = min(max(1, recipe.micro_batches // devices), _MAX_MICRO_BATCHES)
    tokens = recipe.batch_tokens // recipe.micro_batches * own
    return replace(
        recipe,
        micro_batches=own,
        batch_tokens=tokens,
        warmup_tokens=0,
        warm_phase_tokens=0,
        budget_tokens=tokens * 1_000_000,  # more than are ever run
    )


def _step_flops(job: ProbeJob, variant: Variant, recipe: Recipe) -> int:
    gone = DropPlan(drops=tuple(LayerDrop(at_tokens=0, layer=n) for n in _leaving(job, variant)))
    one_step = replace(recipe, budget_tokens=recipe.batch_tokens)
    share = share_read(variant.loss)
    return exact_flops(job.model, gone, one_step, variant.teachers, share)


def _leaving(job: ProbeJob, variant: Variant) -> Sequence[int]:
    return some_layers(job.model, variant.removed)


def _too_large(job: ProbeJob, variant: Variant, recipe: Recipe, peak: Peak, world: World) -> str:
    """Why a variant cannot be tried on this device; empty if it can."""
    needed = 12 * parameters(job.model, _leaving(job, variant))  # weights, gradients, momentum
    needed += sum(4 * parameters(teacher) for teacher in variant.teachers)
    if needed > (free := free_bytes(world)):
        return (
            f"weights, gradients and momentum alone need {needed / 1e9:.3g} GB, "
            f"{world.device_kind} has {free / 1e9:.3g} GB free"
        )
    seconds = _step_flops(job, variant, recipe) / peak.flops_per_s
    if seconds > STEP_S:
        return (
            f"{recipe.micro_batches} micro-batches take at least {seconds:.0f} s even at the "
            f"{peak.flops_per_s / 1e9:.3g} GFLOP/s that {world.device_kind} reaches in a matmul"
        )
    return ""


def _pace(job: ProbeJob, variant: Variant, recipe: Recipe, world: World) -> Pace:
    forget_peak_bytes(world)
    student = Student(build(job.model, seed=0))
    student.remove(_leaving(job, variant))
    student.model.to(world.device)
    step_s = _step_s(student, job, variant, recipe, world)
    evaluate_s = _evaluate_s(student.model, job, world)
    return Pace(
        loss=pace_name(variant.loss, cached=False, teacher=variant.taught_by),
        blocks=len(student.kept),
        flops_per_s=_step_flops(job, variant, recipe) / step_s,
        tokens_per_s=recipe.batch_tokens / step_s,
        evaluate_s=evaluate_s,
        peak_bytes=peak_bytes(world),  # with the held-out windows of the curve
    )


def _step_s(
    student: Student, job: ProbeJob, variant: Variant, recipe: Recipe, world: World
) -> float:
    """Seconds of one step of the real loop, without the first."""
    spec = TrainSpec(
        recipe=recipe, loss=variant.loss, seed=0, corpus_sha256="", tokenizer_sha256=""
    )
    windows = recipe.batch_tokens // job.model.context
    items = train(
        initial_state(student, DropPlan(), recipe),
        functools.partial(_random_batch, _fewest_ids(job, variant), job.model.context, windows),
        plan=DropPlan(),
        spec=spec,
        world=world,
        heldout_nll=lambda _: 0.0,
        teacher=_teacher(variant, recipe, world),
    )
    steps = (item for item in items if isinstance(item, Progress))
    next(steps)
    start_s = time.perf_counter()
    for count in itertools.count(1):
        next(steps)
        elapsed_s = time.perf_counter() - start_s
        if count >= _MIN_STEPS and elapsed_s >= _MIN_SECONDS:
            break
    return elapsed_s / count


def _fewest_ids(job: ProbeJob, variant: Variant) -> int:
    """The ids that student and teacher both know."""
    return min(model.vocab_size for model in (job.model, *variant.teachers))


def _random_batch(vocab_size: int, context: int, windows: int, step: int) -> Batch:
    rng = torch.Generator().manual_seed(step)
    ids = torch.randint(vocab_size, (windows, context + 1), generator=rng)
    return Batch(tuple(range(windows)), ids, 0, (step,) * windows, 0)


def _teacher(variant: Variant, recipe: Recipe, world: World) -> Teacher:
    models = [build(teacher, seed=0) for teacher in variant.teachers]
    return OnlineTeacher(models[0], recipe, world) if models else no_teacher


def _evaluate_s(model: Decoder, job: ProbeJob, world: World) -> float:
    """Seconds of all held-out windows of a trial, and of all tasks that have their items."""
    context, evaluation = model.config.context, job.evaluation
    per_batch = max(1, TOKENS_PER_BATCH // context)
    ids = torch.randint(model.config.vocab_size, (per_batch, context + 1)).to(world.device)
    inputs_BT, targets_BM, at_BM = ids[:, :-1], ids[:, 1:], None
    if evaluation.mask_share:
        targets_BM = targets_BM[:, : num_targets(context, evaluation.mask_share)]
        at_BM = torch.arange(targets_BM.shape[1], device=ids.device).expand_as(targets_BM)
    seconds = min(
        timed(lambda: window_nats(model, inputs_BT, targets_BM, at_BM), world) for _ in "12"
    )
    windows = evaluation.heldout_windows + len(HELDOUT_AT) * evaluation.curve_windows
    return windows * seconds / per_batch + _tasks_s(model, job, world)


def _items(job: ProbeJob) -> dict[str, list[str]]:
    """The items of each task made of held-out text, where they are made: a line each."""
    tasks = [name for name in job.evaluation.tasks if is_text_task(name)]
    files = item_files(tasks, job.corpus_sha256, Store(Path(job.storage)))
    return {name: f.read_text("utf-8").splitlines() for name, f in files.items() if f.is_file()}


def _sources(job: ProbeJob) -> list[TaskSource]:
    """The tasks with data of their own that the store has, once it has a tokenizer for them."""
    store = Store(Path(job.storage))
    if not store.has("corpora", job.corpus_sha256):
        return []
    return [s for s in job.evaluation.sources if store.has("task_data", s.data_sha256)]


def _tasks_s(model: Decoder, job: ProbeJob, world: World) -> float:
    """Seconds of all items of all tasks, from a sample of each task's."""
    text_tasks, sources, seconds = _items(job), _sources(job), 0.0
    if not text_tasks and not sources:
        return seconds
    from raydistill.evaluation.lm_harness.zeroshot import score_source, score_tasks  # noqa: PLC0415  (lm_eval is seconds)

    store, max_length = Store(Path(job.storage)), job.evaluation.tokens_read(model.config)
    corpus = store.path("corpora", job.corpus_sha256)
    with tempfile.TemporaryDirectory() as folder:
        for name, items in text_tasks.items():
            path = Path(folder, f"{name}.jsonl")
            share = _write_sample(items, path)
            run_task = functools.partial(score_tasks, model, corpus, {name: path}, max_length)
            seconds += timed(run_task, world) / share
        for source in sources:
            data = Path(folder, source.task)
            shutil.copytree(data_folder(source, store), data)
            items = [*filter(None, (data / ITEMS).read_text("utf-8").split("\n"))]
            share = _write_sample(items, data / ITEMS)
            run_source = functools.partial(score_source, model, corpus, source, data, max_length)
            seconds += timed(run_source, world) / share
    return seconds


def _write_sample(items: Sequence[str], path: Path) -> float:
    """Write at most `_MAX_ITEMS` of the items, spread over them; their share of all."""
    size = min(_MAX_ITEMS, len(items))
    sample = (items[i * len(items) // size] for i in range(size))
    path.write_text("\n".join(sample), "utf-8")
    return size / len(items)
