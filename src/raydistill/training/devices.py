"""What a device can do and hold: its matmul peak, the memory in use, the memory that is free."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from raydistill.models.distributed import World
from raydistill.specs.model import ModelConfig
from raydistill.storage.store import Store
from raydistill.training.jobs import FULLY, MOST_OF_DEVICE, WHOLE, TrialJob, shards_with
from raydistill.training.memory.expected import expected_bytes
from raydistill.training.throughput import Peak, Unmeasured, known_peak, peak_path

_MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}
_MAX_PRODUCTS, _ENOUGH_S = 9, 2.0  # whichever comes first


def keep_peak(precision: str, store: Store, world: World) -> Peak:
    """The peak of this kind of device, measured once per store."""
    peak = known_peak(world.device_kind, precision, store)
    if isinstance(peak, Unmeasured):
        flops_per_s = matmul_flops_per_s(precision, world)
        peak = Peak(device=world.device_kind, precision=precision, flops_per_s=flops_per_s)
        store.save(peak, *peak_path(peak.device, precision))
    return peak


def matmul_flops_per_s(precision: str, world: World) -> float:
    """FLOP/s of the fastest of a few square matrix products, fewer where one takes long."""
    side = _MATMUL_SIDE[world.device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left, right = (torch.ones(side, side, dtype=dtype, device=world.device) for _ in range(2))
    seconds: list[float] = []
    while len(seconds) < _MAX_PRODUCTS and sum(seconds) < _ENOUGH_S:
        seconds.append(timed(lambda: left @ right, world))
    return 2 * side**3 / min(seconds)


def timed(work: Callable[[], object], world: World) -> float:
    """Seconds of `work`, until the device has finished it."""
    _synchronize(world)
    start_s = time.perf_counter()
    work()
    _synchronize(world)
    return time.perf_counter() - start_s


def _synchronize(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)


def forget_peak_bytes(world: World) -> int:
    """Count `peak_bytes` anew; the bytes that are in use now.

    On a CPU that is the resident size, Python and its libraries included. Where the system cannot
    forget a process's peak (Linux can), it keeps its count.
    """
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(world.device)
        return torch.cuda.memory_allocated(world.device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # man 5 proc: resets VmHWM
    return _status_bytes("VmRSS")


def peak_bytes(world: World) -> int:
    """The most memory in use since it was forgotten; on a CPU the resident size of the process."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device)
    return _status_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status_bytes(field: str) -> int:
    """A size of this process by `/proc/self/status`; 0 where there is none."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            name, _, size = line.partition(":")
            if name == field:
                return 1024 * int(size.split()[0])
    return 0


def free_bytes(world: World) -> int:
    """Free memory of the GPU, or of the machine."""
    if world.device.type == "cuda":
        return torch.cuda.mem_get_info(world.device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def device_bytes(world: World) -> int:
    """The memory of this rank's GPU; of a CPU its part of what the ranks of its machine share."""
    if world.device.type == "cuda":
        return torch.cuda.get_device_properties(world.device).total_memory
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // max(ranks, 1)


def sharing(
    job: TrialJob, model: ModelConfig, teachers: Sequence[ModelConfig], world: World
) -> World:
    """The world, sharded if the job says so, or by `auto` if a copy on each rank does not fit.

    Args:
        job: of the trial.
        model: of its base.
        teachers: of the trial, one or none.
        world: of this rank; the leading one decides for all.
    """
    spec, recipe = job.spec, job.spec.train.recipe
    if world.size == 1 or job.sharding == WHOLE or not shards_with(spec.train.loss):
        return world
    if job.sharding == FULLY or recipe.param_dtype != "float32":
        return replace(world, sharded=True)
    on_cpu, teacher = world.device.type == "cpu", (*teachers, model)[0]
    needed = expected_bytes(job, model, teacher, devices=world.size, on_cpu=on_cpu)
    return replace(world, sharded=bool(world.agreed(needed > MOST_OF_DEVICE * device_bytes(world))))
