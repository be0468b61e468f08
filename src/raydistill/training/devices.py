"""What a device can do and hold: its matmul peak, the memory in use, the memory that is free."""

import os
import resource
import time
from collections.abc import Callable

import torch

from raydistill.models.distributed import World
from raydistill.storage.store import Store
from raydistill.training.throughput import Peak, known_peak, peak_path

_SIDE = {"cuda": 8192, "cpu": 1024}

_TRIES = 8

_ENOUGH_S = 2.0


def keep_peak(precision: str, store: Store, world: World) -> Peak:
    """The peak of this kind of device, measured by whoever comes first and never again."""
    kept = known_peak(world.device_kind, precision, store)
    if isinstance(kept, Peak):
        return kept
    flops_per_s = matmul_flops_per_s(precision, world)
    peak = Peak(device=world.device_kind, precision=precision, flops_per_s=flops_per_s)
    store.save(peak, *peak_path(peak.device, precision))
    return peak


def matmul_flops_per_s(precision: str, world: World) -> float:
    """The best of a few square matrix products; of fewer where each takes long."""
    side = _SIDE[world.device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left, right = (torch.ones(side, side, dtype=dtype, device=world.device) for _ in range(2))
    took_s = [timed(lambda: left @ right, world)]
    while len(took_s) <= _TRIES and sum(took_s) < _ENOUGH_S:
        took_s.append(timed(lambda: left @ right, world))
    return 2 * side**3 / min(took_s)


def timed(work: Callable[[], object], world: World) -> float:
    """Seconds of `work`, until the device has done it."""
    _wait(world)
    began_s = time.perf_counter()
    work()
    _wait(world)
    return time.perf_counter() - began_s


def _wait(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)


def forget_peak_bytes(world: World) -> None:
    """Count `peak_bytes` from now on; a CPU's process cannot forget."""
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(world.device)


def peak_bytes(world: World) -> int:
    """The most that was held: on the GPU by this trial, on a CPU by the process so far.

    On a CPU that is the resident size, with Python and its libraries, and of whatever the
    process did before.
    """
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_bytes(world: World) -> int:
    """Memory that is free: of the GPU, or of the machine."""
    if world.device.type == "cuda":
        return torch.cuda.mem_get_info(world.device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
