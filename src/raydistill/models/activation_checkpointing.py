"""Blocks that are computed again in the backward pass, so that what is inside them is not kept.

Of each block its inputs stay: for a hidden state float [B, T, D] that is B·T·D numbers a block,
instead of all that its backward pass reads (Chen et al., 2016, "Training deep nets with sublinear
memory cost"). It costs one more forward pass of the blocks, and no bit of the result.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

NONE, BLOCKS = "none", "blocks"  # what a recipe calls it


@contextmanager
def checkpointed(blocks: Iterable[nn.Module], activation_checkpointing: str) -> Iterator[None]:
    """Within the context, these modules keep their inputs alone for a backward pass.

    Forward hooks on the modules are outside: they see each forward pass once. Without gradients
    nothing changes.

    Args:
        blocks: the modules, that have inputs by position or by name.
        activation_checkpointing: of a recipe, `NONE` or `BLOCKS`.
    """
    if activation_checkpointing == NONE:
        yield
        return
    modules = list(blocks)
    for block in modules:
        block.forward = _recomputed(block.forward)
    try:
        yield
    finally:
        for block in modules:
            del block.forward  # the class's own again


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    return run
