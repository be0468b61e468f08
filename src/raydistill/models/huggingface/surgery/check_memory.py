"""The memory that the end check takes, and what of it there is."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from raydistill.core.errors import SetupError
from raydistill.core.units import format_bytes
from raydistill.models.huggingface.weight_files import weight_files


def check_bytes(folder: Path) -> int:
    """Bytes that the weights of the whole model take once it is loaded, which is the most."""
    return sum(file.stat().st_size for file in weight_files(folder))


def refuse_beyond_memory(folder: Path, root: Path = Path("/")) -> None:
    """Refuse an end check whose model is larger than the memory that is available.

    Raises:
        SetupError: with both sizes, and what does without.
    """
    needed, available = check_bytes(folder), available_bytes(root)
    if needed > available:
        raise SetupError(
            f"the end check loads the whole model, {format_bytes(needed)}, and "
            f"{format_bytes(available)} of memory are available: --no-check does without it"
        )


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may take before the machine or its cgroup runs out.

    Args:
        root: of the file system; holds `proc/meminfo`, `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, LookupError, ValueError):
        free = _numbers(root / "proc/meminfo")["MemAvailable:"] * 1024
    return max(0, min([free, *_left_by_cgroups(root)]))


def _left_by_cgroups(root: Path) -> Iterator[int]:
    """What the limit of every cgroup (version 2) leaves; files that it has cached make room.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, "memory.max".
    """
    mount = root / "sys/fs/cgroup"
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
        paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
        for group in (mount / path for path in paths):
            for folder in (group, *group.parents):
                with suppress(OSError, LookupError, ValueError):
                    limit = int((folder / "memory.max").read_text("utf-8"))  # or "max": none
                    used = int((folder / "memory.current").read_text("utf-8"))
                    yield limit - used + _numbers(folder / "memory.stat")["inactive_file"]
                if folder == mount:
                    break


def _numbers(path: Path) -> dict[str, int]:
    """The first number behind each name in a file of the kernel's."""
    rows = (line.split() for line in path.read_text("utf-8").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}
