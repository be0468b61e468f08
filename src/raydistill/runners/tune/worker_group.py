"""A trial on several devices: a Ray Train worker group, started from inside a Tune trial."""

import functools
import os
import time
from contextlib import nullcontext
from pathlib import Path

import ray
from ray.train import RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import own_errors_named
from raydistill.runners.cluster.connection import WORKER_CPU
from raydistill.runners.cluster.local_copy import local_storage
from raydistill.runners.cluster.progress import progress_sent
from raydistill.runners.cluster.stop_signal import unless_stopped
from raydistill.runners.cluster.work import Work, paced


def train(work: Work, job: object, *, devices: range, gpu: bool, key: str, folder: Path) -> None:
    """Run `work` on `devices` ranks; its reports become those of this Tune trial.

    Args:
        work: called on every rank, with `torch.distributed` initialised (gloo without GPUs).
        job: what it is called with.
        devices: how many ranks; of several counts, as many as the cluster has room for, and
            when nodes come or go it resumes from its newest checkpoint with another count.
        gpu: whether each rank holds a GPU.
        key: of the work; the same for every attempt.
        folder: absolute, seen by every node; for Train's own files.
    """
    forward = TuneReportCallback()
    trainer = TorchTrainer(
        functools.partial(_on_every_rank, work, job, key),
        scaling_config=ScalingConfig(
            num_workers=(min(devices), max(devices)) if len(devices) > 1 else max(devices),
            elastic_resize_monitor_interval_s=float(os.environ["RAYDISTILL_RESIZE_S"]),
            use_gpu=gpu,
            resources_per_worker={"CPU": WORKER_CPU} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(name=f"train-{key}", storage_path=str(folder), callbacks=[forward]),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise cause_of(error) from error
    _wait_until_reported(forward)


def cause_of(error: WorkerGroupError) -> Exception:
    """What ended a worker group, on whichever rank, and would again; else `error`."""
    certain = OwnCodeError | FloatingPointError
    return next((e for e in error.worker_failures.values() if isinstance(e, certain)), error)


def _on_every_rank(work: Work, job: object, key: str) -> None:
    leads = ray.train.get_context().get_world_rank() == 0
    sent = progress_sent(key) if leads else nullcontext()
    with own_errors_named(), sent, local_storage(job) as (local_job,):
        for metrics in paced(work(local_job), agree=_number_of_rank_0):
            ray.train.report(dict(metrics))


def _number_of_rank_0(number: int) -> int:
    import torch.distributed  # noqa: PLC0415  (only a Train worker needs it)

    numbers = [unless_stopped(number)]
    torch.distributed.broadcast_object_list(numbers, src=0)
    return numbers[0]


def _wait_until_reported(forward: TuneReportCallback) -> None:
    """Wait until Tune has taken the last report.

    One that is still queued when the trial function returns would meet the trial's end in
    Tune's one-place queue, and both would wait for ever.
    """
    while not forward._training_actor_item_queue.empty():
        time.sleep(0.1)
    time.sleep(0.5)
