"""The processes that train a trial together: rank, size, device, and their collectives."""

import contextlib
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raydistill.models.decoder import Decoder


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This process among the `size` that train one trial."""

    rank: int
    size: int
    device: torch.device

    @staticmethod
    def here() -> "World":
        """The world of this process, as torch has it; one thread per rank on a CPU."""
        distributed = dist.is_available() and dist.is_initialized()
        rank, size = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
        if torch.cuda.is_available():
            _use_deterministic_kernels()
            # Ray Train has set this rank's device; alone, it is the only visible one.
            device = torch.device("cuda", torch.cuda.current_device())
            return World(rank=rank, size=size, device=device)
        torch.set_num_threads(1)
        return World(rank=rank, size=size, device=torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this rank writes for all."""
        return self.rank == 0

    @property
    def device_kind(self) -> str:
        """The kind of device, such as "cpu" or "NVIDIA H100"."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type

    def wrap(self, model: Decoder) -> nn.Module:
        """`model` with gradients averaged over ranks. Freeze layers before, remove them after."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=model.leaves_unused)

    def shard(self, model: nn.Module, blocks: Iterable[nn.Module]) -> None:
        """Shard `model` over the ranks, block by block (FSDP2)."""
        from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415  (a second)
        from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over all ranks."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value.item()

    def agreed(self, number: int) -> int:
        """Rank 0's `number` on every rank: one rank decides for all."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.broadcast(value, src=0)
        return int(value.item())


def _use_deterministic_kernels() -> None:
    """Use GPU kernels that give the same bits each time.

    A step takes some 5 % longer (the paper's 300M model on an H200). An operation without such a
    kernel raises, with its name. The variables are read at the first matrix product, and by the
    models of transformers.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
    # With warn_only, torch leaves the backward pass of attention nondeterministic.
    torch.use_deterministic_algorithms(True)
    # It would also fill every new tensor; nothing of ours reads one before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def without_sync(model: nn.Module, last: bool) -> AbstractContextManager[None]:
    """No all-reduce of gradients, except for the last micro-batch."""
    if last or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    no_sync: AbstractContextManager[None] = model.no_sync()
    return no_sync
