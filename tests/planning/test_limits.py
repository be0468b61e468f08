"""The memory of devices: of a sheet, of this machine, of a container."""

import pytest

from raydistill.planning.memory.limits import limit_of, machine, named
from raydistill.planning.preview.devices import DEVICES
from raydistill.storage.store import Store
from support import finished


@pytest.mark.parametrize("device", sorted(DEVICES))
def test_a_device_has_what_its_sheet_says(device):
    limit = named(device)
    assert limit.memory_bytes == 10**9 * DEVICES[device].memory_gb
    assert limit.memory_bytes < limit.most_bytes < 1.08 * limit.memory_bytes
    assert str(limit).endswith(f"{device} has {DEVICES[device].memory_gb} GB")


def test_articles():
    assert str(named("H100")) == "an H100 has 80 GB"
    assert str(named("T4")) == "a T4 has 16 GB"


def write(root, meminfo, limit=None):
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(meminfo)
    (root / "sys/fs/cgroup").mkdir(parents=True)
    if limit is not None:
        (root / "sys/fs/cgroup/memory.max").write_text(limit)


def test_a_machine_has_its_memory_and_at_the_most_its_swap(tmp_path):
    write(tmp_path, "MemTotal: 2000 kB\nSwapTotal: 500 kB\n", "max\n")
    limit = machine(tmp_path)
    assert (limit.memory_bytes, limit.most_bytes) == (2_048_000, 2_560_000)
    assert limit.on_cpu


def test_a_container_has_what_it_may_use(tmp_path):
    write(tmp_path, "MemTotal: 2000 kB\nSwapTotal: 0 kB\n", "1000000\n")
    assert machine(tmp_path).memory_bytes == 1_000_000


def test_a_system_that_does_not_say(tmp_path):
    assert machine(tmp_path) == "unknown"


def test_a_plan_for_a_device_a_cluster_and_this_machine(tmp_path, monkeypatch):
    def limit(*flags):
        return limit_of(finished.plan("where_to_drop", Store(tmp_path), *flags).options.assumed)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert limit("--dry-run", "--device", "L4") == named("L4")
    assert limit("--dry-run", "--tokens-per-s", "100") == "unknown"
    assert limit() == machine()
    monkeypatch.setenv("RAYDISTILL_DEVICE", "GPU")
    assert limit() == "unknown"
    monkeypatch.delenv("RAYDISTILL_DEVICE")
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert limit() == "unknown"
