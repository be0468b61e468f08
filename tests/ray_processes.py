"""What a Ray session leaves behind, seen and ended by pid."""

import contextlib

import psutil

AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""They end by themselves about a minute after their raylet was killed, not earlier."""

SERVICES = {*AGENTS, "ray::IDLE", "ray::_AutoscalingCoordinatorActor"}
"""What a cluster keeps between jobs. Ray Train starts the coordinator, one for all jobs."""


def family(pid):
    """The processes below `pid` as they are now."""
    return psutil.Process(pid).children(recursive=True)


def working(pid):
    """The Ray workers below `pid` that hold a job's actor or task."""
    found = []
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::") and process.name() not in SERVICES:
                found.append(process)
    return found


def left_of(processes, timeout_s=15):
    """Those that work on after `timeout_s`, as text. All that are left are ended, agents too."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    left = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.append(process.name())
            process.kill()
    return [name for name in left if name not in AGENTS]
