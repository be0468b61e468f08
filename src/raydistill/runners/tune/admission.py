"""Which trials may run at once on a node whose memory ran out, and after which pause.

A trial that may not yet waits at its very start, in a process that is still small.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from raydistill.runners.cluster.memory import MemoryShortage, pause_after
from raydistill.runners.cluster.stop_signal import stop_requested

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """Where a trial runs; a trial on several devices has processes on any node, and no pid."""

    node_ip: str = ""
    pid: int = 0


class Admission:
    """The driver's account of running trials; a trial begins held if it may not run yet.

    A node that our own trials filled gets as many at once as fit there by the largest resident
    size seen, until the sweep ends. Trials on several devices are one fewer each time.

    Args:
        clock: seconds, only ever growing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[str, Process] = {}  # of every trial that has begun
        self._held: list[str] = []  # of these, in the order of their beginnings
        self._not_before_s: dict[str, float] = {}
        self._most: dict[str, int] = {}  # at once, by node
        self._resident_bytes: dict[str, int] = {}
        self._largest_bytes = 0

    def begin(self, key: str, process: Process) -> bool:
        """A trial's process is there; returns whether it is held until `due` names it."""
        self._places[key] = process
        self._held.append(key)
        return key not in self.due()

    def report(self, key: str, resident_bytes: int) -> None:
        """A running trial tells its resident size."""
        self._resident_bytes[key] = resident_bytes
        self._largest_bytes = max(self._largest_bytes, resident_bytes)

    def end(self, key: str) -> None:
        """A trial's process is done with it, or dead."""
        self._places.pop(key, None)
        self._resident_bytes.pop(key, None)
        if key in self._held:
            self._held.remove(key)

    def due(self) -> list[str]:
        """The held trials that may run from now on."""
        due = []
        for key in list(self._held):
            node_ip = self._places[key].node_ip
            room = self._most.get(node_ip, len(self._places)) - len(self._running(node_ip))
            if room > 0 and self._clock() >= self._not_before_s.get(key, 0.0):
                self._held.remove(key)
                due.append(key)
        return due

    def lose(self, key: str, shortage: MemoryShortage, failed_attempts: int) -> str:
        """A trial was killed for memory; what follows, for the user."""
        seconds = pause_after(failed_attempts)
        self._not_before_s[key] = self._clock() + seconds
        node_ip = self._places.get(key, Process(node_ip=shortage.node_ip)).node_ip
        running = sorted({key, *self._running(node_ip)})
        fit = self._fitting(running, shortage) if node_ip else max(1, len(running) - 1)
        pause = f"in {seconds:g} s"
        if fit >= len(running):
            return pause
        self._most[node_ip] = min(fit, self._most.get(node_ip, fit))
        there = f"on {node_ip}" if node_ip else "at once"
        return f"{pause}, with {self._most[node_ip]} {there} instead of {len(running)}"

    def _running(self, node_ip: str) -> list[str]:
        return [
            key
            for key, process in self._places.items()
            if process.node_ip == node_ip and key not in self._held
        ]

    def _fitting(self, running: list[str], shortage: MemoryShortage) -> int:
        now_bytes = {worker.pid: worker.resident_bytes for worker in shortage.workers}
        places = [self._places.get(key, Process()) for key in running]
        own_bytes = [
            now_bytes.get(process.pid, self._resident_bytes.get(key, 0))
            for key, process in zip(running, places, strict=True)
        ]
        self._largest_bytes = max(self._largest_bytes, *own_bytes)
        return shortage.fitting(own_bytes, self._largest_bytes)


def hold(key: str) -> None:
    """In the driver: let a trial wait at its start."""
    _internal_kv_put(_name(key), "held")


def release(key: str) -> None:
    """In the driver: let a trial go on that waits."""
    _internal_kv_del(_name(key))


def wait_while_held(key: str) -> None:
    """On a worker: return once the trial may run, or the user has stopped the sweep."""
    while _internal_kv_exists(_name(key)) and not stop_requested():
        time.sleep(LOOK_EVERY_S)


def _name(key: str) -> str:
    return f"raydistill/held/{ray.get_runtime_context().get_job_id()}/{key}"
