"""Fault injection, to test that no work is lost: `RAYDISTILL_FAULTS`.

    RAYDISTILL_FAULTS="kill@step=7,rank=1; enospc@checkpoint=3; raise@removal=2; hang@evaluation"

The code marks its points by `fault_point`. A fault is an action at the n-th occurrence of a point:

    kill    the process ends by SIGKILL        step        a step of a training (n: which one)
    raise   an exception of no known kind      removal     layers leave (n: which occurrence)
    enospc  the disk is full                   checkpoint  a checkpoint is half written
    hang    the process never goes on          evaluation  a score is about to be measured
    note    nothing; it is only logged         preparing   corpus and bases are looked up
    oom     the process takes memory           tracking    a run is about to be sent to MLflow
            until it is killed for it          teacher     a teacher on its own devices is queried
                                               shard       a shard of a large text is tokenised
                                               output      a folder that is written is renamed

Where the caller does not count them, n is the n-th occurrence in one process. `rank=1` is that
rank of a training alone; `times=3` so many occurrences, over all processes and repetitions, once
by default. `oom` waits for Ray's memory monitor: of a Ray that was started with a
`RAY_memory_usage_threshold` just above what is in use, or it fills the machine up to Ray's 95 %.
Every injected fault is a file in the folder `RAYDISTILL_FAULTS_LOG`: so a repeated
command does not meet it again, and a test can check that it happened.
"""

import errno
import os
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from raydistill.core.errors import UsageError, unknown

PLAN_VARIABLE = "RAYDISTILL_FAULTS"
LOG_VARIABLE = "RAYDISTILL_FAULTS_LOG"
VARIABLES = (PLAN_VARIABLE, LOG_VARIABLE)  # a driver passes them to its workers

ACTIONS = ("enospc", "hang", "kill", "note", "oom", "raise")
POINTS = (
    "checkpoint",
    "evaluation",
    "output",
    "preparing",
    "removal",
    "shard",
    "step",
    "teacher",
    "tracking",
)

_occurrences: Counter[str] = Counter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """An action at a point of the code."""

    action: str  # one of `ACTIONS`
    point: str  # one of `POINTS`
    number: int = 0  # which occurrence of the point; 0: every one
    rank: int = 0  # of a training on several devices
    times: int = 1  # at most

    @property
    def name(self) -> str:
        """As in the plan; the log's file names begin with it."""
        return f"{self.action}@{self.point}={self.number},rank={self.rank}"


class PlannedError(Exception):
    """The action `raise`."""


def fault_point(point: str, number: int = 0, rank: int = 0) -> None:
    """Inject the faults that are planned at `point`, if any.

    Args:
        point: one of `POINTS`.
        number: which occurrence this is, from 1; 0: this process counts them.
        rank: of this process among those that train together.

    Raises:
        PlannedError: if that is planned.
        OSError: ENOSPC, if that is planned.
    """
    if PLAN_VARIABLE not in os.environ:
        return
    _occurrences[point] += 1
    number = number or _occurrences[point]
    for fault in parse(os.environ[PLAN_VARIABLE]):
        is_planned = fault.point == point and fault.rank == rank and fault.number in (0, number)
        if is_planned and _claim(fault):
            _inject(fault)


@lru_cache
def parse(text: str) -> tuple[Fault, ...]:
    """The faults that the text of `RAYDISTILL_FAULTS` plans.

    Raises:
        UsageError: if it is malformed; the message names the part and what is allowed.
    """
    return tuple(_fault(part.strip()) for part in text.split(";") if part.strip())


def _fault(text: str) -> Fault:
    form = re.fullmatch(r"(\w+)@(\w+)(?:=(\d+))?((?:,(?:rank|times)=\d+)*)", text)
    if form is None:
        raise UsageError(f"{PLAN_VARIABLE}: {text!r} is no fault; write one as kill@step=7,rank=1")
    action, point, number, options = form.groups()
    if action not in ACTIONS:
        raise UsageError(f"{PLAN_VARIABLE}: {unknown('action', action, ACTIONS)}")
    if point not in POINTS:
        raise UsageError(f"{PLAN_VARIABLE}: {unknown('point', point, POINTS)}")
    pairs = (pair.split("=") for pair in options.split(",") if pair)
    return Fault(
        action=action, point=point, number=int(number or 0), **{key: int(n) for key, n in pairs}
    )


def arm(folder: Path) -> str:
    """Check the plan, and have this process and its children log injected faults in `folder`.

    Returns:
        a line to show; empty if nothing is planned.

    Raises:
        UsageError: if the plan is malformed.
    """
    if PLAN_VARIABLE not in os.environ:
        return ""
    log = Path(os.environ.setdefault(LOG_VARIABLE, str(folder)))
    counts = [
        f"{fault.name} ({len(list(log.glob(f'{fault.name}-*')))} of {fault.times})"
        for fault in parse(os.environ[PLAN_VARIABLE])
    ]
    return f"warning: faults are planned, and came so often: {'; '.join(counts)}"


def _claim(fault: Fault) -> bool:
    """Log one more occurrence, before it happens; False if there were as many as planned."""
    folder = Path(os.environ[LOG_VARIABLE])
    folder.mkdir(parents=True, exist_ok=True)
    for occurrence in range(1, fault.times + 1):
        with (
            suppress(FileExistsError),
            (folder / f"{fault.name}-{occurrence}").open("x") as file,
        ):
            file.write(f"{time.time():.3f} {os.getpid()}\n")
            return True
    return False


def _inject(fault: Fault) -> None:
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise PlannedError(f"planned: {fault.name}")
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "hang":
            while True:
                time.sleep(3600)
        case "oom":
            _fill_memory()


def _fill_memory() -> None:
    """Take memory until this process is killed; slowly enough for a monitor to see it."""
    held = []
    while True:
        held.append(bytearray(b"\1") * (64 << 20))
        time.sleep(0.02)
