"""The node types of the cluster files at hand, and the smallest that a plan fits on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.units import format_bytes
from raydistill.planning.memory.fitting import fits
from raydistill.planning.memory.kinds import Kind
from raydistill.planning.memory.limits import GIB_OF_GB, Limit

FOLDERS = "cluster/launcher", "cluster/kuberay"  # below the folder that a command runs in

# GPUs of a machine and GB of each, by the beginning of its type's name. Sources: the pages of
# accelerated instances of AWS EC2 and of GPU machine types of Google Compute Engine.
_MACHINES: Mapping[str, tuple[str, int]] = {
    "g4dn.": ("T4", 16),
    "g5.": ("A10G", 24),
    "g6.": ("L4", 24),
    "g6e.": ("L40S", 48),
    "p3.": ("V100", 16),
    "p3dn.": ("V100", 32),
    "p4d.": ("A100", 40),
    "p4de.": ("A100", 80),
    "p5.": ("H100", 80),
    "p5e.": ("H200", 141),
    "p5en.": ("H200", 141),
    "a2-highgpu-": ("A100", 40),
    "a2-ultragpu-": ("A100", 80),
    "a3-highgpu-": ("H100", 80),
    "a3-megagpu-": ("H100", 80),
    "a3-ultragpu-": ("H200", 141),
    "g2-standard-": ("L4", 24),
}
_COUNTS: Mapping[str, int] = {  # of machines with several; others have one
    "g4dn.12xlarge": 4, "g4dn.metal": 8, "g5.12xlarge": 4, "g5.24xlarge": 4, "g5.48xlarge": 8,
    "g6.12xlarge": 4, "g6.24xlarge": 4, "g6.48xlarge": 8, "g6e.12xlarge": 4, "g6e.24xlarge": 4,
    "g6e.48xlarge": 8, "p3.8xlarge": 4, "p3.16xlarge": 8, "p3dn.24xlarge": 8, "p4d.24xlarge": 8,
    "p4de.24xlarge": 8, "p5.48xlarge": 8, "p5e.48xlarge": 8, "p5en.48xlarge": 8,
    "g2-standard-24": 2, "g2-standard-48": 4, "g2-standard-96": 8,
}  # fmt: skip
_LABELS: Mapping[str, tuple[str, int]] = {  # of GKE nodes, cloud.google.com/gke-accelerator
    "nvidia-tesla-t4": ("T4", 16),
    "nvidia-l4": ("L4", 24),
    "nvidia-tesla-a100": ("A100", 40),
    "nvidia-a100-80gb": ("A100", 80),
    "nvidia-h100-80gb": ("H100", 80),
    "nvidia-h200-141gb": ("H200", 141),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeType:
    """A worker of a cluster file: its GPUs."""

    name: str
    file: str
    gpu: str
    gpus: int
    memory_gb: int  # of each GPU

    @property
    def limit(self) -> Limit:
        """The memory of one of its GPUs."""
        size = self.memory_gb * 10**9
        return Limit(
            name=f"{self.name}'s {self.gpu}",
            memory_bytes=size,
            most_bytes=round(size * GIB_OF_GB),
            on_cpu=False,
        )


def node_types(folder: Path) -> list[NodeType]:
    """The workers whose GPUs are known, of the YAML files below `folder`, the smallest first.

    Files that are no YAML, or speak of other things, are passed over: `check-cluster` tells.
    """
    files = [file for name in FOLDERS for file in sorted((folder / name).glob("*.yaml"))]
    if not files:
        return []
    import yaml  # noqa: PLC0415  (only where there are files)

    known: dict[tuple[str, str, int], NodeType] = {}
    for file in files:
        try:
            documents = list(yaml.safe_load_all(file.read_text("utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for document in documents:
            for node in _workers(document, f"{file.parent.name}/{file.name}"):
                known.setdefault((node.name, node.gpu, node.gpus), node)
    return sorted(known.values(), key=lambda node: (node.memory_gb, node.gpus, node.name))


def _workers(document: object, file: str) -> Iterator[NodeType]:
    if not isinstance(document, Mapping):
        return
    types = document.get("available_node_types")
    for fields in types.values() if isinstance(types, Mapping) else ():
        config = fields.get("node_config") if isinstance(fields, Mapping) else None
        if isinstance(config, Mapping) and fields.get("max_workers", 1):
            machine = str(config.get("InstanceType") or config.get("machineType") or "")
            start = max((m for m in _MACHINES if machine.startswith(m)), key=len, default="")
            if start:
                gpu, size = _MACHINES[start]
                yield NodeType(
                    name=machine, file=file, gpu=gpu, gpus=_count(machine), memory_gb=size
                )
    spec = document.get("spec")
    spec = spec.get("rayClusterSpec", spec) if isinstance(spec, Mapping) else {}
    groups = spec.get("workerGroupSpecs") if isinstance(spec, Mapping) else None
    for group in groups if isinstance(groups, list) else ():
        yield from _group(group, file)


def _count(machine: str) -> int:
    if machine.startswith(("a2-", "a3-")):
        number = machine.rpartition("-")[2].removesuffix("g")
        return int(number) if number.isdecimal() else 1
    return _COUNTS.get(machine, 1)


def _group(group: object, file: str) -> Iterator[NodeType]:
    """A worker group of KubeRay, whose label names its GPU."""
    try:
        pod = group["template"]["spec"]  # type: ignore[index]
        label = pod["nodeSelector"]["cloud.google.com/gke-accelerator"]
        limits = pod["containers"][0]["resources"]["limits"]
        gpu, size = _LABELS[label]
        yield NodeType(
            name=str(group["groupName"]),  # type: ignore[index]
            file=file,
            gpu=gpu,
            gpus=int(limits["nvidia.com/gpu"]),
            memory_gb=size,
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return


def smallest_that_fits(kinds: Sequence[Kind], types: Sequence[NodeType]) -> str:
    """The first of the node types on which all kinds of training fit, in a sentence.

    Args:
        kinds: the largest first.
        types: the smallest first.
    """
    setups = [replace(kind.setup, on_cpu=False) for kind in kinds]
    for node in types:
        if all(fits(setup, node.limit) for setup in setups):
            devices = max(setup.devices for setup in setups)
            nodes = math.ceil(devices / node.gpus)
            many = f", {nodes} nodes a trial" if nodes > 1 else ""
            return (
                f"The smallest node type of {node.file} that fits: {node.name} "
                f"({node.gpus} x {node.gpu}, {node.memory_gb} GB each{many})."
            )
    largest = types[-1]
    size = format_bytes(kinds[0].peak)
    return (
        f"warning: no node type of the cluster's files fits {size} on a device: the largest is "
        f"{largest.name} ({largest.gpu}, {largest.memory_gb} GB, {largest.file})."
    )
