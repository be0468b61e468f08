"""Attention: flash-attn where it is installed and the tensors are on a GPU, else SDPA."""

import functools
import importlib.util
import logging

import torch.nn.functional as F
from torch import Tensor

_log = logging.getLogger(__name__)


def attend(
    query_BTHK: Tensor,
    key_BTHK: Tensor,
    value_BTHK: Tensor,
    visible_BTT: Tensor | None = None,
    *,
    causal: bool = True,
) -> Tensor:
    """Softmax attention, float [B, T, H, K], scaled by 1/√K.

    What sees what is as `visible_BTT` says, else all up to itself; all, if it is not `causal`.
    """
    half = query_BTHK.is_cuda and query_BTHK.dtype.itemsize == 2
    if visible_BTT is None and half and has_flash_attn():
        from flash_attn import flash_attn_func  # noqa: PLC0415  (needs a GPU to import)

        attended: Tensor = flash_attn_func(
            query_BTHK, key_BTHK, value_BTHK, causal=causal, deterministic=True
        )
        return attended
    query_BHTK, key_BHTK, value_BHTK = (
        x.transpose(1, 2) for x in (query_BTHK, key_BTHK, value_BTHK)
    )
    attended_BHTK = F.scaled_dot_product_attention(
        query_BHTK,
        key_BHTK,
        value_BHTK,
        attn_mask=None if visible_BTT is None else visible_BTT.unsqueeze(1),
        is_causal=causal and visible_BTT is None,
    )
    return attended_BHTK.transpose(1, 2)


@functools.cache
def has_flash_attn() -> bool:
    """Whether the `gpu` extra is installed."""
    return importlib.util.find_spec("flash_attn") is not None


def lacks_flash_attn(named: object) -> bool:
    """Whether a config names flash-attn that is not installed: then torch's own is used, as said.

    Args:
        named: its attention implementation; none is named otherwise.
    """
    if not str(named).startswith("flash") or has_flash_attn():
        return False
    warn_no_flash(str(named))
    return True


@functools.cache  # once a process
def warn_no_flash(name: str) -> None:
    """Say how to install it."""
    _log.warning(
        '%s is not installed (pip install "raydistill[gpu]"): torch\'s own attention', name
    )
