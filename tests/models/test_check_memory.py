"""Whether the end check fits into the memory that there is."""

import pytest

from raydistill.core.errors import SetupError
from raydistill.models.huggingface.surgery.check_memory import (
    available_bytes,
    refuse_beyond_memory,
)


@pytest.fixture
def machine(tmp_path):
    """Of 1,000 kB, in which this process is in the group `mine` of another."""
    group = tmp_path / "sys/fs/cgroup/all/mine"
    for folder in (tmp_path / "proc/self", group):
        folder.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/all/mine\n")
    return tmp_path


def limit(group, most, used, cached):
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\n")


def test_it_is_what_the_machine_has_left(machine):
    assert available_bytes(machine) == 1_024_000


@pytest.mark.parametrize("group", ["all/mine", "all"])
def test_a_groups_limit_counts_but_for_files_that_it_has_cached(machine, group):
    limit(machine / "sys/fs/cgroup/all/mine", "max", 100, 0)
    limit(machine / "sys/fs/cgroup" / group, 5000, 3000, 1000)
    assert available_bytes(machine) == 3000


@pytest.mark.parametrize(("size", "refused"), [(1_024_000, False), (1_024_001, True)])
def test_a_model_beyond_it_is_refused_with_both_sizes(machine, size, refused):
    (machine / "model").mkdir()
    with (machine / "model/model.safetensors").open("wb") as file:
        file.truncate(size)
    folder = machine / "model"
    if not refused:
        refuse_beyond_memory(folder, machine)
        return
    with pytest.raises(SetupError, match=r"1\.02 MB, and 1\.02 MB of memory .*--no-check"):
        refuse_beyond_memory(folder, machine)
