"""A folder of tensors to which every rank writes its shares, and which any number of ranks reads.

By `torch.distributed.checkpoint`, as safetensors: each file says which part of which tensor it has.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from raydistill.models.sharding import is_share, local


class ShareFiles:
    """What writes the shares of one training, in a thread beside it.

    The ranks agree in a group of their own, on the CPU, so that nothing of the training waits. A
    thread that fails is noticed by `wait`.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []

    def save(self, folder: Path, tensors: Mapping[str, Tensor], finish: Callable[[], None]) -> None:
        """Copy this rank's shares, and write them while training goes on; every rank calls this.

        The leading rank deletes what could not be finished.

        Args:
            folder: that all ranks see.
            tensors: by name, sharded or the same on every rank.
            finish: called in the thread once all ranks have written.

        Raises:
            Exception: of any kind, that ended the last writing.
        """
        self.wait()
        staged = {name: self._staged(tensor) for name, tensor in tensors.items()}

        def write() -> None:
            try:
                self._write(folder, staged)
                finish()
            except BaseException as error:  # noqa: BLE001  (told to the thread that trains)
                if dist.get_rank() == 0:  # on a full disk, what could be written makes room again
                    shutil.rmtree(folder, ignore_errors=True)
                self._errors.append(error)

        self._thread = threading.Thread(target=write, name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until what is being written is.

        Raises:
            Exception: of any kind, that ended it.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._errors:
            raise self._errors.pop()

    def load(self, folder: Path, tensors: Mapping[str, Tensor]) -> None:
        """Fill this rank's shares from what any number of ranks wrote; every rank calls this."""
        staged = {name: self._staged(tensor) for name, tensor in tensors.items()}
        _load(folder, staged, process_group=self._group)
        with torch.no_grad():
            for name, tensor in tensors.items():
                local(tensor).copy_(local(staged[name]))

    @cached_property
    def _group(self) -> Any:
        return dist.new_group(backend="gloo")

    @cached_property
    def _mesh(self) -> Any:
        from torch.distributed.device_mesh import DeviceMesh  # noqa: PLC0415  (a second)

        return DeviceMesh.from_group(self._group, "cpu")

    def _staged(self, tensor: Any) -> Tensor:
        """A copy on the CPU, which training does not change."""
        copy = local(tensor).to("cpu", copy=True)
        if not is_share(tensor):
            return copy
        from torch.distributed.tensor import DTensor  # noqa: PLC0415  (a second)

        sizes = {"shape": tensor.shape, "stride": tensor.stride()}
        return DTensor.from_local(copy, self._mesh, tensor.placements, run_check=False, **sizes)

    def _write(self, folder: Path, staged: dict[str, Any]) -> None:
        from torch.distributed.checkpoint.hf_storage import (  # noqa: PLC0415  (a second)
            HuggingFaceStorageWriter,
        )
        from torch.distributed.checkpoint.state_dict_saver import save  # noqa: PLC0415

        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        save(staged, storage_writer=writer, process_group=self._group)


def load_whole(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Fill tensors from what any number of ranks wrote, on this process alone."""
    _load(folder, tensors, no_dist=True)


def stored_tensors(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and dtype of every tensor of a folder, by name."""
    about: Any = _reader(folder).read_metadata().state_dict_metadata
    return {name: (entry.size, entry.properties.dtype) for name, entry in about.items()}


def _load(folder: Path, tensors: dict[str, Any], **how: Any) -> None:
    from torch.distributed.checkpoint.state_dict_loader import load  # noqa: PLC0415  (a second)

    load(tensors, storage_reader=_reader(folder), **how)


def _reader(folder: Path) -> Any:
    from torch.distributed.checkpoint.hf_storage import (  # noqa: PLC0415  (a second)
        HuggingFaceStorageReader,
    )

    return HuggingFaceStorageReader(str(folder))
