"""Works that sleep instead of training, for the tests of `runners`."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.progress import tracked

Metrics = Mapping[str, float | int | str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nap:
    """`steps` naps; one of them may fail. Ends with the outcome `value`."""

    steps: int = 20
    step_s: float = 0.1
    value: float = 1.0
    fails_at: int = 0  # steps count from 1


def nap(job: Nap) -> Iterator[Metrics]:
    """A `doze` that says whether its process had to import torch."""
    imported = "torch" not in sys.modules
    import torch

    assert torch.get_num_threads() == 1
    for metrics in doze(job):
        yield {**metrics, "imported": int(imported)}


def doze(job: Nap) -> Iterator[Metrics]:
    """Sleep and report tokens, as a trial does."""
    here: Metrics = {"pid": os.getpid(), "begun": time.time()}
    for step in range(1, job.steps + 1):
        time.sleep(job.step_s)
        if step == job.fails_at:
            raise ValueError(f"step {step} went wrong")
        yield {**here, "tokens": 100 * step, "loss": job.value}
    yield {**here, "tokens": 100 * job.steps, "loss": job.value, "delta_nll_selection": job.value}


def measure(parts: int) -> int:
    """Work that says how far it is, each part in half a second."""
    for _ in tracked(range(parts), "measuring", "tokens", size=lambda _part: 100):
        time.sleep(0.5)
    return parts


def nap_and_measure(job: Nap) -> Iterator[Metrics]:
    """A trial that is measured at its end."""
    yield from doze(job)
    measure(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dies:
    """Notes every step in the file `kept` and goes on from there; its process dies at `deaths`."""

    kept: str
    deaths: tuple[int, ...]  # the step of each, one after the other
    steps: int = 10


def die(job: Dies) -> Iterator[Metrics]:
    """As a training does whose nodes are taken away."""
    kept, died = Path(job.kept), Path(f"{job.kept}-died")
    for step in range(int(kept.read_text()) + 1, job.steps + 1):
        times = len(died.read_text())
        if times < len(job.deaths) and job.deaths[times] == step:
            died.write_text("x" * (times + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        kept.write_text(str(step))
        yield {"step": step}


def count_ranks(job: Nap) -> Iterator[Metrics]:
    """An all-reduce per step: every rank adds its one."""
    import torch
    import torch.distributed

    for step in range(1, job.steps + 1):
        ones = torch.ones(1)
        torch.distributed.all_reduce(ones)
        time.sleep(job.step_s)
        yield {
            "tokens": 100 * step,
            "ranks": ones.item(),
            "backend": torch.distributed.get_backend(),
        }
