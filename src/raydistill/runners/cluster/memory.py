"""What Ray's memory monitor killed, in one line, and how many processes fit on a node.

Ray kills workers of a node that runs short (`RAY_memory_usage_threshold`, 95 % if unset). Its
message lists the largest processes of the node with their command lines, other people's too:
nothing of it but numbers and the node's address is kept.
"""

import ctypes
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ray.exceptions import OutOfMemoryError

PAUSES_S = (10.0, 60.0)  # before the second and the third attempt: others may need the memory too

_LIST_OF_PROCESSES = "memory users:"
_NODE = re.compile(r"\(IP: ([^\s,)]+)")
_USAGE = re.compile(r"Memory usage (\d+)B exceeded threshold of (\d+)B")
_WORKER = re.compile(r"job ID=(\w+),.*?pid=(\d+), actual memory used=([\d.]+)GB")


@dataclass(frozen=True, kw_only=True, slots=True)
class BusyWorker:
    """A Ray worker with work, on a node whose memory ran out."""

    job_id: str
    pid: int
    resident_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryShortage:
    """A node whose memory ran out.

    Attributes:
        node_ip: its address; empty if Ray does not say it, as are the numbers then.
        used_bytes: by all processes of the node.
        limit_bytes: beyond which Ray kills.
        workers: Ray's busy workers there, killed or not.
    """

    node_ip: str = ""
    used_bytes: int = 0
    limit_bytes: int = 0
    workers: tuple[BusyWorker, ...] = ()

    def __str__(self) -> str:
        if not self.limit_bytes:
            return "its process was killed: the memory of its node ran out"
        used, limit = self.used_bytes / 1e9, self.limit_bytes / 1e9
        return (
            f"its process was killed: node {self.node_ip} ran out of memory, {used:.3g} GB in use "
            f"of {limit:.3g} that Ray allows"
        )

    def fitting(self, own_bytes: Collection[int], largest_bytes: int) -> int:
        """How many of our processes may run at once from now on.

        As many as ran where all others use more than ours: these filled the node, perhaps for a
        moment. Else as many as fit beside the others.

        Args:
            own_bytes: the resident size of each that ran.
            largest_bytes: of one of them, at most, as far as was seen.

        Returns:
            at least 1, at most as many as ran; one fewer than ran if Ray gives no numbers.
        """
        if not self.limit_bytes or not largest_bytes:
            return max(1, len(own_bytes) - 1)
        others_bytes = max(0, self.used_bytes - sum(own_bytes))
        if others_bytes > sum(own_bytes):
            return len(own_bytes)
        fit = (self.limit_bytes - others_bytes) // largest_bytes
        return max(1, min(len(own_bytes), fit))


def shortage_in(error: BaseException) -> MemoryShortage | None:
    """The shortage that ended a process, or one that it waited for; None if none did."""
    for cause in _causes(error, set()):
        if isinstance(cause, OutOfMemoryError):
            return parse(str(cause))
    return None


def parse(message: str) -> MemoryShortage:
    """What Ray's message says of the node, without its list of processes."""
    text = message.partition(_LIST_OF_PROCESSES)[0]
    node, usage = _NODE.search(text), _USAGE.search(text)
    if node is None or usage is None:
        return MemoryShortage()
    return MemoryShortage(
        node_ip=node[1],
        used_bytes=int(usage[1]),
        limit_bytes=int(usage[2]),
        workers=tuple(
            BusyWorker(job_id=job, pid=int(pid), resident_bytes=int(float(gib) * 2**30))
            for job, pid, gib in _WORKER.findall(text)
        ),
    )


def _causes(error: BaseException, passed: set[int]) -> Iterator[BaseException]:
    """An error, those it was raised from, and those of the ranks whose failure it reports."""
    if id(error) in passed:
        return
    passed.add(id(error))
    yield error
    below = [error.__cause__, error.__context__]
    for value in vars(error).values():  # of Ray's and Train's errors: a cause, or one of each rank
        below += value.values() if isinstance(value, dict) else [value]
    for cause in below:
        if isinstance(cause, BaseException):
            yield from _causes(cause, passed)


def resident_bytes() -> int:
    """Of this process; 0 where the system does not say."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def give_back() -> None:
    """Give the system back what this process has freed.

    glibc keeps it, for every thread apart, and Tune begins a thread for each trial.
    """
    with suppress(OSError, AttributeError):  # another C library has no such call
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def pause_after(failed_attempts: int) -> float:
    """How many seconds to wait before the next attempt."""
    return PAUSES_S[min(failed_attempts, len(PAUSES_S)) - 1]


def warn(text: str) -> None:
    """One line to the user, beside whatever shows progress."""
    print(f"warning: {text}", file=sys.stderr, flush=True)
