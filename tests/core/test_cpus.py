"""CPUs are those that this process may use: by affinity, and by a cgroup's quota."""

import os
import subprocess
import sys

import pytest

from raydistill.core.cpus import available_cpus

PRINT = "from raydistill.core.cpus import available_cpus; print(available_cpus())"


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """`groups(line, **files)`: the CPUs of a process with 16 that lies in cgroups like these."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))

    def cpus(line, files):
        for name, text in {"proc/self/cgroup": f"9:pids:/\n{line}\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_cpus(tmp_path)

    return cpus


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux has affinity")
def test_a_process_that_is_pinned_to_one_cpu_has_one():
    command = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    pinned = subprocess.run(
        [*command, sys.executable, "-c", PRINT], capture_output=True, text=True, check=True
    )
    assert pinned.stdout == "1\n"


@pytest.mark.parametrize(
    ("line", "files", "cpus"),
    [
        ("0::/", {}, 16),
        ("0::/", {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ("0::/", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
        ("0::/", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "3200000 100000\n"}, 16),
        ("0::/a/b", {"sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b", {"sys/fs/cgroup/a/cpu.max": "3 1", "sys/fs/cgroup/a/b/cpu.max": "5 1"}, 3),
        ("0::/host/only", {"sys/fs/cgroup/cpu.max": "600000 100000\n"}, 6),
        (
            "4:cpu,cpuacct:/docker/1f",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "700000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            7,
        ),
        (
            "1:cpu:/",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
    ],
)  # fmt: skip
def test_a_cgroups_quota_of_either_version_caps_them(groups, line, files, cpus):
    assert groups(line, files) == cpus
