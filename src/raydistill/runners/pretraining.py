"""The bases of a sweep: pretrained side by side, one run a scale, where the cluster has room.

A run is one Ray task. The process of one that has ended takes the next, with torch imported.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack

from raydistill.core.progress import in_parts
from raydistill.core.units import format_age, format_tokens
from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import is_pretrained, pretraining
from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.stop_signal import stop_on_signal, unless_stopped
from raydistill.runners.cluster.tasks import run_each_once
from raydistill.runners.cluster.work import Metrics, paced
from raydistill.specs.flops import parameters
from raydistill.specs.scale import Scale
from raydistill.storage.manifest import steps_of
from raydistill.storage.sharing import done_by_one
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob


def pretrain_bases(
    scales: Sequence[Scale], store: Store, need: Need, say: Callable[[str], None]
) -> None:
    """Start or resume the runs whose checkpoints are the bases of scales, those that are not done.

    Args:
        scales: each with a text that is tokenised.
        store: filled by workers.
        need: of one run.
        say: shows one line to the user.

    Raises:
        RaydistillError: if a run fails, or its process is lost again and again without progress.
        KeyboardInterrupt: if the user stopped it, which ends every run at its next step.
    """
    runs = {job.spec.trial_id: (scale, job) for scale, job in _missing(scales, store)}
    with ExitStack() as turns:
        for trial_id in sorted(runs):  # every sweep in one order
            turns.enter_context(done_by_one(store.root, "pretraining", trial_id, say=say))
        missing = [(scale, job) for scale, job in runs.values() if not is_pretrained(job, store)]
        if not missing:
            return
        say(_line(missing))
        jobs = [job for _, job in sorted(missing, key=_parameter_tokens, reverse=True)]
        folders = [store.path("pretraining", job.spec.trial_id) for job in jobs]
        with stop_on_signal():
            run_each_once(
                pretrain_base,
                need,
                jobs,
                reached=lambda number: tuple(steps_of(folders[int(number)])[:1]),
            )


def _missing(scales: Sequence[Scale], store: Store) -> list[tuple[Scale, PretrainJob]]:
    runs = [(scale, _job(scale, store)) for scale in scales]
    return [(scale, job) for scale, job in runs if not is_pretrained(job, store)]


def _job(scale: Scale, store: Store) -> PretrainJob:
    return PretrainJob(
        spec=pretraining(scale, corpus_id(scale, store)),
        ages_tokens=tuple(scale.age_tokens(age) for age in scale.ages),
        evaluation=scale.evaluation,
        storage=str(store.root),
    )


def _parameter_tokens(run: tuple[Scale, PretrainJob]) -> int:
    """What a run costs, about: the longest begin first, so that none is left to run alone."""
    scale, job = run
    return parameters(scale.model) * job.spec.train.recipe.total_tokens


def _line(runs: Sequence[tuple[Scale, PretrainJob]]) -> str:
    """What is pretrained, of a scale with its ages, of several with their number."""
    tokens = format_tokens(sum(job.spec.train.recipe.total_tokens for _, job in runs))
    if len(runs) > 1:
        return f"pretraining the bases of {len(runs)} scales: {tokens} tokens"
    ages = ", ".join(map(format_age, runs[0][0].ages))
    return f"pretraining the bases of age {ages}: {tokens} tokens"


def pretrain_base(job: PretrainJob) -> None:
    """On a worker: one run to its end, or to its next step once the sweep is to stop."""
    done = 0.0
    with in_parts("pretraining", "tokens", job.spec.train.recipe.total_tokens) as part:
        for metrics in paced(pretrain_work(job), agree=unless_stopped):
            tokens = float(metrics.get("tokens", 0))
            with part(tokens - done):
                done = tokens


def pretrain_work(job: PretrainJob) -> Generator[Metrics]:
    """One pretraining run, which stores a base of every age; yields how far it is."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.pretraining import pretrain  # noqa: PLC0415  (torch, on the worker only)

    for item in pretrain(job, world=World.here()):
        yield {"tokens": item.tokens}
