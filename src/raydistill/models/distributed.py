"""The processes that train a trial together: rank, size, device, and their collectives."""

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raydistill.models.decoder import Decoder
from raydistill.models.sharding import is_sharded


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This process among the `size` that train one trial.

    Attributes:
        rank: from 0.
        size: how many train together.
        device: of this rank.
        sharded: whether each holds a share of the student, instead of a copy.
    """

    rank: int
    size: int
    device: torch.device
    sharded: bool = False

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
    def sharding(self) -> Literal["none", "fully"]:
        """What is shared out of the student, in the word of `--sharding`."""
        return "fully" if self.sharded else "none"

    @property
    def device_kind(self) -> str:
        """The kind of device, such as "cpu" or "NVIDIA H100"."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type

    def wrap(self, model: Decoder) -> nn.Module:
        """`model` with gradients averaged over ranks. Freeze layers before, remove them after."""
        if self.size == 1 or is_sharded(model):
            return model
        # DDP keeps a list of all parameters that it does not ignore: removed ones would stay.
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
        return DistributedDataParallel(model, find_unused_parameters=model.leaves_unused)

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over all ranks."""
        return (self.total(value) / self.size if self.size > 1 else value).item()

    def total(self, value: Tensor) -> Tensor:
        """The sum of a scalar over all ranks."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

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
    """No all-reduce of gradients, except for the last micro-batch.

    A sharded model sums them after each: until then a rank would hold the gradient of all weights.
    """
    if last or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    no_sync: AbstractContextManager[None] = model.no_sync()
    return no_sync
