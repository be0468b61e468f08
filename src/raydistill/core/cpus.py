"""How many CPUs this process may use, which may be fewer than the machine has."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """The CPUs of this process's affinity, and at most those of its cgroups' quotas, at least 1.

    A quota that is no whole number of CPUs is rounded down: work beyond it would be throttled.

    Args:
        root: of the file system; holds `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    affine = getattr(os, "sched_getaffinity", None)  # Linux
    cpus = len(affine(0)) if affine else os.cpu_count() or 1
    return max(1, min([cpus, *map(int, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """CPUs by the quota of every cgroup that this process is in, of either version.

    Within a container the paths of `/proc/self/cgroup` may be the host's: then the container's
    own group is the mounted folder itself.

    Sources: Linux, Documentation/admin-guide/cgroup-v2.rst, "cpu.max", and
    Documentation/scheduler/sched-bwc.rst, "cpu.cfs_quota_us".
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "sys/fs/cgroup" / controllers
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                yield from _quota(folder)
                if folder == mount:
                    break


def _quota(folder: Path) -> Iterator[float]:
    """The CPUs of one cgroup's quota, if it has one."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text("utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text("utf-8")
            period = (folder / "cpu.cfs_period_us").read_text("utf-8")
        if int(quota) > 0:  # "max" in version 2, -1 in version 1: no quota
            yield int(quota) / int(period)
