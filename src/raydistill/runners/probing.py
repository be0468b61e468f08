"""A probe as work for a cluster: on as many devices side by side as trials will hold at once."""

from collections.abc import Callable, Sequence

from raydistill.planning.lr_probe import with_probes
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.preview.costs import trial_work
from raydistill.planning.resolve import PlannedTrial
from raydistill.runners.cluster.connection import connected, device_need, present, wait_for
from raydistill.runners.cluster.tasks import run_each_once
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import TEACHER_FREE, NoTeacher
from raydistill.storage.store import Store
from raydistill.training.jobs import ProbeJob, Variant
from raydistill.training.throughput import Probed, Rate, Unmeasured, probe_path, typical

MOST_AT_ONCE = 8


def probe_plan(prepared: PreparedSweep, say: Callable[[str], None]) -> None:
    """Measure on the cluster's devices what the trials of a plan will take; keep it in the store.

    Side by side, because trials of one machine slow each other down.

    Raises:
        RaydistillError: if there is no cluster, or none of its devices is free.
    """
    store, corpus_sha256 = prepared.store, prepared.artifacts.corpus.corpus_sha256
    trials = [t for t in with_probes(prepared).trials if not trial_work(t, store).done]
    if not trials:
        return  # nothing is left to predict
    with connected(store.path("probes", "ray.log")):
        need = device_need()
        wait_for(need, say=say)
        at_once = min(present(need), MOST_AT_ONCE, _most_at_once(prepared, len(trials)))
        for job in probe_jobs(trials, corpus_sha256, store):
            say(f"probing {at_once} device(s) side by side")
            found = merged(run_each_once(probe_work, need, [job] * at_once))
            store.save(Probed(found=found), *probe_path(job.model, job.recipe))


def _most_at_once(prepared: PreparedSweep, trials: int) -> int:
    """Devices that the trials of a plan can hold together."""
    concurrent = prepared.plan.options.concurrent
    return prepared.plan.scale.devices_per_trial * (trials if concurrent == "auto" else concurrent)


def probe_jobs(trials: Sequence[PlannedTrial], corpus_sha256: str, store: Store) -> list[ProbeJob]:
    """One for each scale that trials are of."""
    by_scale: dict[str, list[PlannedTrial]] = {}
    for trial in trials:
        by_scale.setdefault(trial.scale.name, []).append(trial)
    return [
        ProbeJob(
            model=of_scale[0].scale.model,
            recipe=of_scale[0].scale.heal,
            devices=of_scale[0].scale.devices_per_trial,
            variants=_variants(of_scale),
            evaluation=of_scale[0].scale.evaluation,
            corpus_sha256=corpus_sha256,
            storage=str(store.root),
        )
        for of_scale in by_scale.values()
    ]


def _variants(trials: Sequence[PlannedTrial]) -> tuple[Variant, ...]:
    """The smallest and the largest model of each loss and teacher."""
    removed: dict[tuple[str, tuple[ModelConfig, ...]], set[int]] = {}
    for trial in trials:
        cell = trial.cells[0]
        asked, loss = cell.teacher, cell.request.loss
        teachers = () if isinstance(asked, NoTeacher) else (asked.scale.model,)
        if cell.request.excerpt:  # answers from the store: little more than no teacher
            loss, teachers = TEACHER_FREE, ()
        removed.setdefault((loss, teachers), set()).add(cell.request.count)
    return tuple(
        Variant(loss=loss, removed=count, teachers=teachers)
        for (loss, teachers), counts in removed.items()
        for count in sorted({min(counts), max(counts)})
    )


def merged(found: Sequence[Rate | Unmeasured]) -> Rate | Unmeasured:
    """What devices that were probed side by side have in common; one that cannot speaks for all."""
    rates = [each for each in found if isinstance(each, Rate)]
    cannot = [each for each in found if isinstance(each, Unmeasured)]
    return cannot[0] if cannot else typical(rates)


def probe_work(job: ProbeJob) -> Rate | Unmeasured:
    """On a worker: one device is probed."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.probe import probe  # noqa: PLC0415  (torch, on the worker only)

    return probe(job, world=World.here())
