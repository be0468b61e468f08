"""What every node of a cluster reports: versions, devices, whether it sees the storage."""

import importlib.util
import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from raydistill.core.errors import SetupError
from raydistill.runners.cluster.connection import alive_nodes, task_on
from raydistill.runners.diagnostics.finding import Finding, Level, ok
from raydistill.runners.diagnostics.packages import versions
from raydistill.storage.object_store import object_store_of
from raydistill.storage.urls import copy_of, url_of

ANSWER_TIMEOUT_S = 60.0
LITTLE_SHARED_MB = 1000


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node, as it sees itself."""

    host: str
    versions: Mapping[str, str]  # of what must be the same on every node
    gpus: tuple[str, ...]  # their names, as torch knows them
    flash_attn: bool  # whether it is installed
    storage: str  # why the storage cannot be used there; empty if it can
    shared_memory_mb: int  # size of /dev/shm


def diagnose_nodes(root: Path) -> Iterator[Finding]:
    """Ask every node that is up, all at once. A Ray session must be open."""
    nodes = alive_nodes()
    totals = ray.cluster_resources()
    counts = ", ".join(f"{totals.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    yield ok(f"{len(nodes)} node(s) with {counts}")
    probe = root / f".probe-{uuid.uuid4().hex}"
    with suppress(OSError):  # a storage that cannot be used here is named already
        probe.touch()
    try:
        tasks = [task_on(node, view_of_this_node, max_retries=0) for node in nodes]
        answers = [task.remote(str(probe), url_of(probe)) for task in tasks]
        for node, answer in zip(nodes, answers, strict=True):
            yield from _findings(node, answer)
    finally:
        for path in root.glob(f"{probe.name}*"):
            path.unlink(missing_ok=True)


def _findings(node: Mapping[str, Any], answer: Any) -> Iterator[Finding]:
    address = node["NodeManagerAddress"]
    try:
        view: NodeView = ray.get(answer, timeout=ANSWER_TIMEOUT_S)
    except GetTimeoutError:
        what = f"node {address} did not answer within {ANSWER_TIMEOUT_S:g} s"
        yield Finding(Level.WRONG, what, "ray status  # and the node's own logs")
    except RayError as error:
        what = f"node {address} cannot run this package: {str(error).strip().splitlines()[-1]}"
        remedy = "put it into the node's image, or submit with --working-dir ."
        yield Finding(Level.WRONG, what, remedy)
    else:
        yield from compare(view, versions(), gpus=int(node["Resources"].get("GPU", 0)))


def compare(view: NodeView, own_versions: Mapping[str, str], *, gpus: int) -> Iterator[Finding]:
    """Everything to report about a node.

    Args:
        view: the node, as it sees itself.
        own_versions: those of the driver.
        gpus: how many Ray gives out there.
    """
    names = ", ".join(view.gpus) or "no GPU"
    yield ok(f"{view.host}: {names}" + (", flash-attn" if view.flash_attn else ""))
    for name, version in view.versions.items():
        if version != own_versions[name]:
            what = f"{view.host} has {name} {version}, the driver {own_versions[name]}"
            yield Finding(Level.WRONG, what, "the same image, or environment, on every node")
    if gpus > len(view.gpus):
        what = f"Ray gives out {gpus} GPU(s) on {view.host}, torch sees {len(view.gpus)} there"
        yield Finding(Level.WRONG, what, "a torch built for CUDA, and a driver that goes with it")
    if view.gpus and not gpus:
        what = f"torch sees GPUs on {view.host} that Ray does not give out"
        yield Finding(Level.NOTE, what, f"start Ray there with --num-gpus {len(view.gpus)}")
    if view.gpus and not view.flash_attn:
        what = f"{view.host} has no flash-attn: torch's own attention is taken"
        yield Finding(Level.NOTE, what, "pip install 'raydistill[gpu]'  # where there is nvcc")
    if view.shared_memory_mb < LITTLE_SHARED_MB:
        what = f"{view.host} has {view.shared_memory_mb} MB of /dev/shm: Ray takes the disk instead"
        yield Finding(
            Level.NOTE,
            what,
            "start its container with --shm-size 8g; in Kubernetes a memory volume",
        )
    if view.storage:
        what = f"{view.host} cannot use the storage: {view.storage}"
        yield Finding(Level.WRONG, what, "a folder that every node mounts, or s3://bucket/folder")


def view_of_this_node(probe: str, url: str) -> NodeView:
    """On a worker: this node. `probe` is a file in the storage, `url` its object store or ""."""
    import torch  # noqa: PLC0415  (the driver asks without it)

    return NodeView(
        host=socket.gethostname(),
        versions=versions(),
        gpus=tuple(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())),
        flash_attn=importlib.util.find_spec("flash_attn") is not None,
        storage=_storage_problem(Path(probe), url),
        shared_memory_mb=_shared_memory_mb(Path("/dev/shm")),  # noqa: S108  (Linux's own)
    )


def _shared_memory_mb(folder: Path) -> int:
    return shutil.disk_usage(folder).total // 1_000_000 if folder.is_dir() else sys.maxsize


def _storage_problem(probe: Path, url: str) -> str:
    try:
        if url:
            remote = object_store_of(copy_of(url))
            assert remote is not None
            remote.check()
        elif not probe.is_file():
            return f"it does not see {probe.parent}"
        else:
            probe.with_name(f"{probe.name}-{socket.gethostname()}-{os.getpid()}").touch()
    except (OSError, SetupError) as error:
        return str(error)
    return ""
