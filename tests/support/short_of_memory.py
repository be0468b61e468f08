"""A Ray whose memory monitor kills: because everything is too much, or because little is left."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.ray_processes import cluster_of

MESSAGE = """\
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, \
ID: 7cd0c038de465ba719e9) was 7.29GB used / 23.54GB limit (0.309781)
OOM kill reason: Memory usage 7725232128B exceeded threshold of 7681531392B (30.4% of 25276510208B \
limit)
Object store memory usage: [- objects spillable: 0]
Ray killed 1 worker(s) based on the killing policy
Considered workers: [
Selected to kill: (Task: job ID=01000000, lease ID=00, task name=take, required \
resources={CPU: 1}, pid=25607, actual memory used=2.00GB, worker ID=1e1df4)
(Actor(5d04a6a8): job ID=01000000, lease ID=01, task name=A.__init__, required \
resources={CPU: 1}, pid=25608, actual memory used=1.50GB, worker ID=193826)
(Task: job ID=02000000, lease ID=02, task name=b, required resources={}, pid=9, actual memory \
used=0.50GB, worker ID=0b)
]
To see more information about memory usage on this node, use `ray logs raylet.out -ip 10.0.0.7`
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
25607\t2.00\tray::take
77\t0.98\tpayroll --of everybody (Task: job ID=01000000, pid=77, actual memory used=9.00GB)
78\t0.74\tanother
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/.
"""
"""What ray 2.60 says; the numbers are made up."""

EVERYTHING = 0.001  # of the machine's memory: the monitor kills whatever works


def in_use_bytes():
    """Of this machine's memory, and what it has."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total - free, total


def threshold(spare_bytes):
    """Of the memory, for `ray_that_kills`: what is in use now and so much more."""
    in_use, total = in_use_bytes()
    return (in_use + spare_bytes) / total


@contextmanager
def ray_that_kills(beyond, num_cpus=2):
    """A Ray of its own, whose workers find what lies here; yields its address.

    Args:
        beyond: which share of the machine's memory, whoever uses it.
        num_cpus: of its one node.
    """
    variables = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "RAY_worker_niceness": "0",
        "RAY_memory_usage_threshold": f"{beyond:.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value, prepend=os.pathsep if name == "PYTHONPATH" else None)
        cluster = cluster_of(num_cpus=num_cpus)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()
