"""The memory that one device of a plan has: of a maker's sheet, or of this machine."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raydistill.core.units import format_bytes
from raydistill.planning.preview.devices import DEVICES, Assumption

GIB_OF_GB = 2**30 / 1e9  # a maker's GB are GiB at the most
PROCESS_BYTES = 400_000_000  # of Python and its libraries, in each process on a CPU, about
_UNLIMITED = 1 << 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What one device has; on a CPU all processes of a trial share it."""

    name: str  # with its article: "an A100", "this machine"
    memory_bytes: int  # that a trial may count on
    most_bytes: int  # that it has at the very most
    on_cpu: bool

    def bytes_each(self, devices: int) -> int:
        """Of each of the devices of a trial, to count on."""
        return self.memory_bytes // devices - PROCESS_BYTES if self.on_cpu else self.memory_bytes

    def most_bytes_each(self, devices: int) -> int:
        """Of each, at the very most."""
        return self.most_bytes // devices if self.on_cpu else self.most_bytes

    def __str__(self) -> str:
        return f"{self.name} has {format_bytes(self.memory_bytes)}"


def limit_of(assumed: Assumption | Literal["nothing"]) -> Limit | Literal["unknown"]:
    """The memory of a device, unknown of a cluster's and of those without a name.

    Args:
        assumed: of `--device`; nothing where the devices are those at hand.
    """
    if assumed != "nothing":
        return named(assumed.device) if assumed.device else "unknown"
    if os.environ.get("RAY_ADDRESS", "local") != "local":
        return "unknown"
    gpus = list(_gpus())
    if gpus:
        name, size = min(gpus, key=lambda gpu: gpu[1])
        return Limit(
            name=f"this machine's {name}", memory_bytes=size, most_bytes=size, on_cpu=False
        )
    if os.environ.get("RAYDISTILL_DEVICE") == "GPU":
        return "unknown"
    return machine()


def named(device: str) -> Limit:
    """The memory of a device of `DEVICES`."""
    size = DEVICES[device].memory_gb
    article = "an" if re.match("[AHLMR]|8", device) else "a"
    return Limit(
        name=f"{article} {device}",
        memory_bytes=size * 10**9,
        most_bytes=round(size * 10**9 * GIB_OF_GB),
        on_cpu=False,
    )


def machine(root: Path = Path("/")) -> Limit | Literal["unknown"]:
    """The memory of this machine, or of its container, and its swap.

    Args:
        root: of the file system; holds `proc/meminfo` and `sys/fs/cgroup`.
    """
    fields: dict[str, int] = {}
    with suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "SwapTotal"):
                fields[name] = 1024 * int(rest.split()[0])
    if "MemTotal" not in fields:
        return "unknown"
    memory = min(fields["MemTotal"], *_cgroup_limits(root), _UNLIMITED)
    swap = fields.get("SwapTotal", 0)
    return Limit(name="this machine", memory_bytes=memory, most_bytes=memory + swap, on_cpu=True)


def _cgroup_limits(root: Path) -> Iterator[int]:
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" is no number
            yield int((root / "sys/fs/cgroup" / file).read_text("ascii"))


def _gpus() -> Iterator[tuple[str, int]]:
    """Name and bytes of each NVIDIA GPU that a process here may use."""
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return
    words = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        answer = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603  (no input)
        for line in answer.stdout.splitlines():
            name, size = line.rsplit(",", 1)
            yield name.strip(), int(size) * 2**20
