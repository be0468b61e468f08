"""One trial from its spec to its scores: base, student, training, evaluation.

Each stage reads what the store has and makes only what it lacks, so a trial that was killed
goes on, and a finished one costs nothing.
"""

import platform
import resource
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from raydistill.checkpoint import WEIGHTS, load_weights, save_weights
from raydistill.evaluate import scores_of
from raydistill.evaluate.perplexity import curve_nll
from raydistill.flops import exact_flops, paper_flops
from raydistill.jobs import TrialJob
from raydistill.manifest import sha256_of
from raydistill.pretrain import base_folder
from raydistill.record import Record
from raydistill.resume import recorded, resume
from raydistill.spec import (
    Cost,
    ExternalBase,
    HeldoutPoint,
    MadeBy,
    Progress,
    Scores,
    Trained,
    TrialResult,
)
from raydistill.store import Store
from raydistill.surgery import Student
from raydistill.tokens import open_tokens
from raydistill.train import begin, train
from raydistill.world import World

Item = Progress | HeldoutPoint | TrialResult


def trial(job: TrialJob, *, world: World) -> Iterator[Item]:
    """Walk the path once; on the leading rank the last item is the `TrialResult`.

    Raises:
        DataError: if the base or the corpus is missing or damaged.
        FloatingPointError: if the training diverges.
    """
    store = Store(Path(job.storage))
    trained = store.trained(job.spec.trial_id)
    if trained is None:
        trained = yield from _training(job, store, world)
    if world.leads:
        yield _evaluated(job, store, trained, world)


def run_trial(job: TrialJob, *, world: World) -> TrialResult:
    """The result of a trial, trained if need be."""
    *_, last = trial(job, world=world)
    assert isinstance(last, TrialResult), last
    return last


def _training(
    job: TrialJob, store: Store, world: World
) -> Generator[Progress | HeldoutPoint, None, Trained]:
    spec, started_s = job.spec, time.time()
    assert isinstance(spec.base, ExternalBase), "bases are pretrained before trials start"
    student = load_weights(base_folder(spec.base.weights_sha256, store))
    student.model.to(world.device)
    context, recipe = student.model.config.context, spec.train.recipe
    corpus = store.path("corpora", spec.train.corpus_sha256)
    folder = store.path("trials", spec.trial_id, "checkpoints")
    state = begin(student, spec.plan, recipe)
    record = resume(state, folder)
    steps = train(
        state,
        open_tokens(corpus, student.model.config).batches(
            spec.train, recipe.batch_tokens // context
        ),
        plan=spec.plan,
        spec=spec.train,
        world=world,
        heldout_nll=curve_nll(corpus, job.evaluation),
    )
    yield from recorded(
        steps, state, record, folder=folder, every_s=job.checkpoint_every_s, world=world
    )
    trained = _described(job, student, record, world, started_s)
    return _kept(trained, student, store) if world.leads else trained


def _described(
    job: TrialJob, student: Student, record: Record, world: World, started_s: float
) -> Trained:
    spec, model = job.spec, student.model.config
    recipe = spec.train.recipe
    return Trained(
        trial_id=spec.trial_id,
        spec=spec,
        model=model,
        kept=tuple(student.kept),
        weights_sha256="",
        trained_in=job.sweep,
        curve=record.thinned_curve(recipe),
        heldout_curve=tuple(record.heldout_curve),
        cost=Cost(
            tokens=recipe.total_tokens,
            flops_paper=paper_flops(model, spec.plan, recipe),
            flops_exact=exact_flops(model, spec.plan, recipe),
            train_s=record.train_s,
            evaluate_s=record.evaluate_s,
            peak_bytes=peak_bytes(world),
        ),
        made_by=MadeBy(
            device=world.device_kind,
            world_size=world.size,
            torch=torch.__version__,
            host=platform.node(),
        ),
        started_s=started_s,
        ended_s=time.time(),
    )


def _kept(trained: Trained, student: Student, store: Store) -> Trained:
    """Put the weights and then their description into the store; checkpoints have served."""
    place = ("trials", trained.trial_id)
    with store.making(*place, "weights") as folder:
        save_weights(folder, student)
    trained = replace(trained, weights_sha256=sha256_of(store.path(*place, "weights", WEIGHTS)))
    store.save(trained, *place, "trained.json")
    store.path(*place, "failure.json").unlink(missing_ok=True)
    shutil.rmtree(store.path(*place, "checkpoints"), ignore_errors=True)
    return trained


def _evaluated(job: TrialJob, store: Store, trained: Trained, world: World) -> TrialResult:
    spec = job.spec
    assert isinstance(spec.base, ExternalBase), spec.base
    corpus = store.path("corpora", spec.train.corpus_sha256)

    def scores(weights_sha256: str, folder: Path) -> Scores:
        return scores_of(
            weights_sha256,
            lambda: load_weights(folder).model.to(world.device),
            store=store,
            folder=corpus,
            spec=job.evaluation,
        )

    return TrialResult(
        trained=trained,
        before=scores(spec.base.weights_sha256, base_folder(spec.base.weights_sha256, store)),
        after=scores(trained.weights_sha256, store.path("trials", trained.trial_id, "weights")),
    )


def peak_bytes(world: World) -> int:
    """The most memory this process held: on the GPU, or of the whole process on a CPU."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
