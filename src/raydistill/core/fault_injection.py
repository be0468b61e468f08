"""Planned faults, to see that nothing is lost by them: `RAYDISTILL_FAULTS`.

    RAYDISTILL_FAULTS="kill@step=7,rank=1; enospc@checkpoint=3; raise@removal=2; hang@evaluation"

The code names its points by `reach`. A fault is an action at a point, at its n-th passing:

    kill    the process ends by SIGKILL        step        a step of a training (n: which one)
    raise   an exception of no kind we know    removal     layers leave (n: the how manieth time)
    enospc  the disk is full                   checkpoint  a checkpoint is half written
    hang    it never goes on                   evaluation  a score is about to be measured
                                               preparing   corpus and bases are looked for
    note    nothing; it is only noted          tracking    a run is about to be told to MLflow
                                               teacher     one on devices of its own is asked

Where the code does not count them itself, n is the n-th passing in one process. `rank=1` is that
rank of a training alone, `times=3` so many passings, over all processes and repetitions; without
it a fault comes once. Every fault that came is a file of `RAYDISTILL_FAULTS_LOG`, a folder: so a
repeated command does not meet it again, and a test sees that it was there.
"""

import errno
import itertools
import os
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from raydistill.core.errors import UsageError, unknown

PLANNED = "RAYDISTILL_FAULTS"

LOG = "RAYDISTILL_FAULTS_LOG"

VARIABLES = (PLANNED, LOG)
"""What every worker of a driver is to know too."""

ACTIONS = ("enospc", "hang", "kill", "note", "raise")

POINTS = ("checkpoint", "evaluation", "preparing", "removal", "step", "teacher", "tracking")

_passings: Counter[str] = Counter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens where.

    Attributes:
        action: one of `ACTIONS`.
        point: one of `POINTS`.
        number: which passing of the point; 0 is every one.
        rank: of a training on several devices.
        times: so often at most.
    """

    action: str
    point: str
    number: int = 0
    rank: int = 0
    times: int = 1

    @property
    def name(self) -> str:
        """Its own, in file names."""
        return f"{self.action}@{self.point}={self.number},rank={self.rank}"


class PlannedError(Exception):
    """The action `raise`."""


def fault_point(point: str, number: int = 0, rank: int = 0) -> None:
    """Say that this process is at `point`; returns unless a fault is planned here.

    Args:
        point: one of `POINTS`.
        number: which passing it is, from 1; 0 if this process is to count them.
        rank: this rank among those that train together.

    Raises:
        PlannedError: if that is planned.
        OSError: ENOSPC, if that is planned.
    """
    if PLANNED not in os.environ:
        return
    _passings[point] += 1
    at = number or _passings[point]
    for fault in parse(os.environ[PLANNED]):
        here = fault.point == point and fault.rank == rank and fault.number in (0, at)
        if here and _is_due(fault):
            _happen(fault)


@lru_cache
def parse(text: str) -> tuple[Fault, ...]:
    """The faults that a text plans.

    Raises:
        UsageError: if it is not written so; the message names the part and what there is.
    """
    return tuple(_fault(part.strip()) for part in text.split(";") if part.strip())


def _fault(text: str) -> Fault:
    form = re.fullmatch(r"(\w+)@(\w+)(?:=(\d+))?((?:,(?:rank|times)=\d+)*)", text)
    if form is None:
        raise UsageError(f"{PLANNED}: {text!r} is no fault; write one as kill@step=7,rank=1")
    action, point, number, more = form.groups()
    if action not in ACTIONS:
        raise UsageError(f"{PLANNED}: {unknown('action', action, ACTIONS)}")
    if point not in POINTS:
        raise UsageError(f"{PLANNED}: {unknown('point', point, POINTS)}")
    pairs = (pair.split("=") for pair in more.split(",") if pair)
    return Fault(
        action=action, point=point, number=int(number or 0), **{key: int(n) for key, n in pairs}
    )


def arm(folder: Path) -> str:
    """Check what is planned and keep what comes of it in `folder`, for this process and its own.

    Returns:
        a line to show; empty if nothing is planned.

    Raises:
        UsageError: if the plan is not written so.
    """
    if PLANNED not in os.environ:
        return ""
    faults = parse(os.environ[PLANNED])
    os.environ.setdefault(LOG, str(folder))
    told = "; ".join(f"{fault.name} ({fired(fault)} of {fault.times})" for fault in faults)
    return f"warning: faults are planned, and came so often: {told}"


def fired(fault: Fault) -> int:
    """How often it has come."""
    return len(list(Path(os.environ[LOG]).glob(f"{fault.name}-*")))


def _is_due(fault: Fault) -> bool:
    """Whether it is to come once more; then it is noted first, for it may leave no time after."""
    folder = Path(os.environ[LOG])
    folder.mkdir(parents=True, exist_ok=True)
    for time_number in itertools.count(1):
        if time_number > fault.times:
            return False
        try:
            with (folder / f"{fault.name}-{time_number}").open("x") as file:
                file.write(f"{time.time():.3f} {os.getpid()}\n")
        except FileExistsError:
            continue
        return True
    raise AssertionError


def _happen(fault: Fault) -> None:
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
