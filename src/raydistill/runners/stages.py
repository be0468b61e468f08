"""The stages of a sweep as work for a cluster, and the driver's side of them.

Every stage looks at the store first and makes only what is missing. The functions that run on a
worker import torch there; the driver never does.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import OwnCodeError
from raydistill.core.fault_injection import fault_point
from raydistill.core.progress import tracked
from raydistill.core.serialization import digest
from raydistill.core.units import format_age
from raydistill.evaluation.probing.stored import kept_probes
from raydistill.evaluation.stored_scores import measured
from raydistill.planning.artifacts import (
    Artifacts,
    ages_by_scale,
    find_artifacts,
    layer_requests,
    measured_bases,
    texts_read,
)
from raydistill.planning.cell import BaseKey, BaseRequest, Cell
from raydistill.planning.outcomes import metrics, outcome
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep, prepare
from raydistill.pruning.layer_choice import FailedChoice, LayerRequest
from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.tasks import run_each_once, run_once
from raydistill.runners.cluster.work import Metrics
from raydistill.runners.pretraining import pretrain_bases
from raydistill.runners.teacher_actors import RemoteTeacher
from raydistill.runners.texts import count_facts, has_text, tokenise
from raydistill.specs.results import Finished, HeldoutPoint, Progress
from raydistill.specs.scale import Scale
from raydistill.specs.trial import Age
from raydistill.storage.sharing import done_by_one
from raydistill.storage.store import Store
from raydistill.training.jobs import BaseJob, CutJob, StopAt, TrialJob

MOST_NAMED = 8  # bases, in the line on what is measured

Say = Callable[[str], None]
FailedChoices = dict[tuple[BaseKey, LayerRequest], FailedChoice]


def make_artifacts(plan: SweepPlan, store: Store, need: Need, say: Say) -> PreparedSweep:
    """Make what trials start from: the corpora, the bases, their scores, layers by score.

    Args:
        plan: whose trials.
        store: looked at first, filled by workers.
        need: what one device is.
        say: shows one line to the user.

    Raises:
        DataError: if the text or a base cannot be had, or do not belong together.
    """
    fault_point("preparing")
    cells = plan.cells
    artifacts = find_artifacts(plan.scale, cells, store)
    if without := [
        scale
        for scale, *_ in texts_read(plan.scale, cells)
        if not has_text(scale, artifacts.corpus_of(scale).corpus_sha256, store)
    ]:
        tokenise(without, store, say)
        artifacts = find_artifacts(plan.scale, cells, store)
    measured = {cell.scale.name: cell.scale for cell in cells}
    count_facts(
        ((artifacts.corpus_of(scale).corpus_sha256, scale) for scale in measured.values()), store
    )
    missing = [
        (scale, ages)
        for scale, ages in ages_by_scale(cells)
        if any((scale.name, age) not in artifacts.bases for age in ages)
    ]
    if missing:
        make_bases(missing, store, need, say)
        artifacts = find_artifacts(plan.scale, cells, store)
    jobs = [_base_job(base, cells, artifacts, store) for base in measured_bases(cells)]
    failed: FailedChoices = {}
    if any(_is_missing(job, store) for job in jobs):
        with ExitStack() as turns:
            for weights in sorted({job.weights_sha256 for job in jobs}):  # every sweep in one order
                turns.enter_context(done_by_one(store.root, "scores", weights, say=say))
            failed = _measure_bases(plan, store, need, say)
    artifacts = find_artifacts(plan.scale, cells, store)
    return prepare(plan, store, replace(artifacts, failed_choices=failed))


def _measure_bases(plan: SweepPlan, store: Store, need: Need, say: Say) -> FailedChoices:
    artifacts = find_artifacts(plan.scale, plan.cells, store)
    bases = measured_bases(plan.cells)
    jobs = {base.key: _base_job(base, plan.cells, artifacts, store) for base in bases}
    missing = {key: job for key, job in jobs.items() if _is_missing(job, store)}
    if not missing:
        return {}
    ages_and_scales = [f"{format_age(age)} ({scale})" for scale, age in missing]
    many = f"measuring {len(missing)} bases of {len({scale for scale, _ in missing})} scales"
    few = f"measuring the bases of age {', '.join(ages_and_scales)}"
    say(many if len(missing) > MOST_NAMED else few)
    failed = zip(missing, run_each_once(measure_base, need, list(missing.values())), strict=True)
    return {(key, choice.request): choice for key, choices in failed for choice in choices}


def make_bases(
    missing: Sequence[tuple[Scale, Sequence[Age]]], store: Store, need: Need, say: Say
) -> None:
    """Read the checkpoints that the user gave, and pretrain the bases of other scales."""
    pretrain_bases([scale for scale, _ in missing if not scale.brought], store, need, say)
    for scale, ages in missing:
        if scale.brought:
            _read_checkpoints(scale, ages, store, say)


def _read_checkpoints(scale: Scale, ages: Sequence[Age], store: Store, say: Say) -> None:
    context, storage = scale.model.context, str(store.root)
    for age in tracked(ages, "reading", "checkpoints", name=str):
        turn = digest([scale.brought, str(age), context])
        with done_by_one(store.root, "base", turn, say=say):
            say(f"reading {scale.brought}, revision {age}")
            run_once(store_checkpoint, {"CPU": 1}, scale.brought, str(age), context, storage)


def _base_job(
    base: BaseRequest, cells: Sequence[Cell], artifacts: Artifacts, store: Store
) -> BaseJob:
    """The scores that trials and the table need of a base, and its layer choices still missing."""
    return BaseJob(
        weights_sha256=artifacts.bases[base.key].weights_sha256,
        corpus_sha256=artifacts.corpus_of(base.scale).corpus_sha256,
        evaluation=base.scale.evaluation,
        layers=tuple(
            request
            for key, request in layer_requests(cells)
            if key == base.key and (key, request) not in artifacts.layer_choices
        ),
        storage=str(store.root),
    )


def _is_missing(job: BaseJob, store: Store) -> bool:
    scores = measured(job.weights_sha256, job.corpus_sha256, job.evaluation, store)
    if scores is None or job.layers:
        return True
    return bool(kept_probes(job.weights_sha256, job.corpus_sha256, job.evaluation, store)[1])


def store_checkpoint(name: str, revision: str, context: int, storage: str) -> None:
    """On a worker: store a checkpoint that the user gave as a base."""
    from raydistill.models.huggingface.loading import read_base  # noqa: PLC0415  (torch, on the worker only)

    read_base(name, revision, context, Store(Path(storage)))


def measure_base(job: BaseJob) -> tuple[FailedChoice, ...]:
    """On a worker: the scores of a base, and the layers chosen by score; returns what failed."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.bases import measure  # noqa: PLC0415  (torch, on the worker only)

    return measure(job, world=World.here())


def trial_work(job: TrialJob) -> Generator[Metrics]:
    """On a worker, on every rank: a trial; the last item has what Tune's tables show of it."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.trial import Waiting, trial  # noqa: PLC0415  (torch, on the worker only)

    if job.failed_choice is not None:
        error = OwnCodeError(job.failed_choice.message)
        error.add_note(job.failed_choice.traceback)
        raise error
    world = World.here()
    latest: dict[str, float | int | str] = {}
    teacher = RemoteTeacher(job.teacher_actor) if job.teacher_actor else None
    for item in trial(job, world=world, teacher=teacher):
        if isinstance(item, Waiting):
            yield dict(latest)
        elif isinstance(item, Progress):
            latest |= {"tokens": item.tokens, "loss": item.loss}
            yield dict(latest)
        elif isinstance(item, HeldoutPoint):
            latest |= {"heldout_nll": item.nll}
            yield dict(latest)
    if world.leads and not isinstance(job.until, StopAt):
        finished = outcome(job.spec, job.base_sha256, job.evaluation, Store(Path(job.storage)))
        assert isinstance(finished, Finished), finished
        latest |= metrics(finished, job.tasks_averaged)
    yield latest


def measure_layer_sets(job: CutJob) -> None:
    """On a worker: held-out loss of a base without some layers, before any training."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.bases import measure_cuts  # noqa: PLC0415  (torch, on the worker only)

    measure_cuts(job, world=World.here())
