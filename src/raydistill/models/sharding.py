"""A model of which each rank holds a share (FSDP2): its weights, gradients and optimizer.

Every block is a group of its own, and what is beside the blocks is one more. A group is whole on a
rank while it computes, forward and backward, and its gradients are summed into shares right after
each micro-batch. A tensor is cut along its first dimension, as `torch.chunk` cuts it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import UsageError
from raydistill.models.decoder import Decoder


def shard(
    model: nn.Module, blocks: Iterable[nn.Module], *, device: torch.device, ranks: int
) -> None:
    """Shard a model that does not learn over the ranks, block by block."""
    _shard(model, blocks, device, ranks)


def shard_student(model: Decoder, *, device: torch.device, ranks: int, bfloat16: bool) -> None:
    """Shard a model that learns. Freeze layers before, remove them after.

    Args:
        model: on any device; its shares come to `device` a block at a time.
        device: of this rank.
        ranks: how many share it.
        bfloat16: compute with weights that are rounded as they are gathered; the shares, the
            gradients' sums and so the optimizer stay float32.

    Raises:
        UsageError: if blocks share weights with each other or with what is beside them.
    """
    if name := shared_parameter(model):
        raise UsageError(
            f"blocks of this model share weights ({name}), which cannot be sharded block by "
            "block: --sharding none"
        )
    unused = model.leaves_unused
    policy: dict[str, Any] = {}
    if bfloat16:
        from torch.distributed.fsdp import MixedPrecisionPolicy  # noqa: PLC0415  (a second)

        policy["mp_policy"] = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    _shard(model, model.blocks, device, ranks, **policy)
    if unused:
        model.set_reduce_scatter_unused_params(True)  # type: ignore[operator]


def _shard(
    model: nn.Module, blocks: Iterable[nn.Module], device: torch.device, ranks: int, **policy: Any
) -> None:
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415  (a second)
    from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

    mesh = init_device_mesh(device.type, (ranks,))
    for block in blocks:
        fully_shard(block, mesh=mesh, **policy)
    fully_shard(model, mesh=mesh, **policy)


def shared_parameter(model: Decoder) -> str:
    """The name of a parameter that two blocks have, or a block and what is beside; else empty."""
    inside = {id(module) for block in model.blocks for module in block.modules()}
    beside = [module for module in model.modules() if id(module) not in inside]
    owner = {id(p): -1 for module in beside for p in module.parameters(recurse=False)}
    for number, block in enumerate(model.blocks):
        for name, parameter in block.named_parameters(f"blocks.{number}"):
            if owner.setdefault(id(parameter), number) != number:
                return name
    return ""


def is_sharded(model: nn.Module) -> bool:
    """Whether `model` is sharded over ranks."""
    return hasattr(model, "set_requires_gradient_sync")


def settle(model: nn.Module) -> None:
    """After a pass without gradients: have every group hold its share alone."""
    for module in model.modules():
        if is_sharded(module):
            module.reshard()  # type: ignore[operator]


def release(model: nn.Module, gone: Iterable[nn.Module]) -> None:
    """Free the weights of blocks that left `model`, and have it forget them.

    The list of all groups, which the outermost one keeps, would hold them to the end.
    """
    kept = {id(parameter) for parameter in model.parameters()}
    for module in [module for block in gone for module in block.modules()]:
        if is_sharded(model) and is_sharded(module):
            _forget_group(model, module)
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and id(parameter) not in kept:
                module._parameters[name] = nn.Parameter(torch.empty(0), requires_grad=False)


def _forget_group(model: Any, module: Any) -> None:
    state = module._get_fsdp_state()
    for group in state._fsdp_param_groups:
        group.fsdp_params.clear()
    context = model._get_fsdp_state()._state_ctx
    context.all_states = [other for other in context.all_states if other is not state]


def is_share(tensor: Tensor) -> bool:
    """Whether this rank has a share of `tensor`, and others the rest."""
    return hasattr(tensor, "placements")


def local(tensor: Any) -> Tensor:
    """This rank's share of a tensor, in the same memory; of one that is whole, itself."""
    detached = tensor.detach()
    share: Tensor = detached.to_local() if is_share(detached) else detached
    return share


def shared_like(share: Tensor, like: Any) -> Tensor:
    """This rank's `share` of a tensor that is sharded as `like` is; itself unless `like` is.

    A tensor without dimensions is whole on every rank.
    """
    if not is_share(like) or not share.dim():
        return share
    from torch.distributed.tensor import DTensor  # noqa: PLC0415  (a second)

    mesh, placements = like.device_mesh, like.placements
    on_device = share.to(mesh.device_type)
    sizes = {"shape": like.shape, "stride": like.stride()}
    return DTensor.from_local(on_device, mesh, placements, run_check=False, **sizes)


def whole(tensor: Any) -> Tensor:
    """A tensor, gathered from all ranks if it is sharded: every rank calls this."""
    detached = tensor.detach()
    gathered: Tensor = detached.full_tensor() if is_share(detached) else detached
    return gathered


def share_of(source: Any, like: Any) -> Any:
    """The part of `source` that this rank holds of `like`; all of it unless `like` is sharded.

    Args:
        source: the whole tensor, or a slice of a safetensors file, which then reads that part.
        like: a tensor of the model.
    """
    if not is_share(like):
        return source if isinstance(source, Tensor) else source[:]
    from torch.distributed.tensor._utils import (  # noqa: PLC0415  (a second)
        compute_local_shape_and_global_offset,
    )

    mesh, placements = like.device_mesh, like.placements
    sizes, starts = compute_local_shape_and_global_offset(like.shape, mesh, placements)
    return source[tuple(slice(a, a + n) for a, n in zip(starts, sizes, strict=True))]
