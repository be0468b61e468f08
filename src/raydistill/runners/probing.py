"""Throughput probes on a cluster: on as many devices side by side as trials will hold at once."""

from collections.abc import Callable, Sequence

from raydistill.planning.artifacts import Artifacts
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
from raydistill.training.throughput import Probed, Rate, Unmeasured, median_rate, probe_path

MOST_DEVICES = 8  # probed at once


def probe_plan(prepared: PreparedSweep, say: Callable[[str], None]) -> None:
    """Measure on the cluster's devices how fast a plan's trials will be; keep it in the store.

    Devices are probed side by side, because the trials of one machine slow each other down.

    Raises:
        RaydistillError: if there is no cluster, or none of its devices is free.
    """
    store = prepared.store
    trials = [t for t in with_probes(prepared).trials if not trial_work(t, store).done]
    if not trials:
        return  # nothing is left to predict
    with connected(store.path("probes", "ray.log")):
        need = device_need()
        wait_for(need, say=say)
        devices = min(present(need), MOST_DEVICES, _devices_held(prepared, len(trials)))
        for job in probe_jobs(trials, prepared.artifacts, store):
            say(f"probing {devices} device(s) side by side")
            result = merged(run_each_once(probe_work, need, [job] * devices))
            store.save(Probed(found=result), *probe_path(job.model, job.recipe))


def _devices_held(prepared: PreparedSweep, trials: int) -> int:
    """At most, by all trials that run at once."""
    concurrent = prepared.plan.options.concurrent
    return prepared.plan.scale.devices_per_trial * (trials if concurrent == "auto" else concurrent)


def probe_jobs(
    trials: Sequence[PlannedTrial], artifacts: Artifacts, store: Store
) -> list[ProbeJob]:
    """One job for each scale of the trials."""
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
            corpus_sha256=artifacts.corpus_of(of_scale[0].scale).corpus_sha256,
            storage=str(store.root),
        )
        for of_scale in by_scale.values()
    ]


def _variants(trials: Sequence[PlannedTrial]) -> tuple[Variant, ...]:
    """The smallest and the largest model of each loss and teacher."""
    removed: dict[tuple[str, tuple[ModelConfig, ...], str], set[int]] = {}
    for trial in trials:
        cell = trial.cells[0]
        teacher, loss = cell.teacher, cell.request.loss
        teachers = () if isinstance(teacher, NoTeacher) else (teacher.scale.model,)
        beside = cell.teacher_beside
        taught_by = "" if isinstance(beside, NoTeacher) else beside.scale.name
        if cell.request.excerpt:  # answers from the store: little more than no teacher
            loss, teachers, taught_by = TEACHER_FREE, (), ""
        removed.setdefault((loss, teachers, taught_by), set()).add(cell.request.count)
    return tuple(
        Variant(loss=loss, removed=count, teachers=teachers, taught_by=taught_by)
        for (loss, teachers, taught_by), counts in removed.items()
        for count in sorted({min(counts), max(counts)})
    )


def merged(results: Sequence[Rate | Unmeasured]) -> Rate | Unmeasured:
    """The typical rate of devices probed side by side; if one could not be measured, its reason."""
    for result in results:
        if isinstance(result, Unmeasured):
            return result
    return median_rate([result for result in results if isinstance(result, Rate)])


def probe_work(job: ProbeJob) -> Rate | Unmeasured:
    """On a worker: probe one device."""
    from raydistill.models.distributed import World  # noqa: PLC0415
    from raydistill.training.probe import probe  # noqa: PLC0415  (torch, on the worker only)

    return probe(job, world=World.here())
