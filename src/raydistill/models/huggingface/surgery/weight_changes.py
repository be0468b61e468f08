"""Weights that must change where a block computes with its own number, which no config can say.

DiffLlama: with `lambda_init(n) = 0.8 - 0.6 exp(-0.3 n)`, block n subtracts its second attention
`exp(lambda_q1 · lambda_k1) - exp(lambda_q2 · lambda_k2) + lambda_init(n)` times and scales what is
left by `1 - lambda_init(n)`. A block that becomes another one has a changed first product, and
`o_proj` takes the quotient of the scales.

GPT-2 with `scale_attn_by_inverse_layer_idx`: block n divides the products of queries and keys by
n + 1; the queries take the quotient.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from raydistill.core.errors import DataError

Fields = Mapping[str, Any]

_PRODUCT = ("self_attn.lambda_q1", "self_attn.lambda_k1")
_OUTPUT = "self_attn.o_proj.weight"
_QUERIES = ("attn.c_attn.weight", "attn.c_attn.bias")  # beside keys and values, a third each
_OTHERS_QUERIES = ("crossattention.q_attn.weight", "crossattention.q_attn.bias")


def what_changes(fields: Fields) -> str:
    """The weights that change in blocks that get another number, and why; empty if none do.

    Args:
        fields: of the config.json of the language model.
    """
    if fields.get("model_type") == "diffllama":
        return "lambda_q1 and o_proj, for lambda_init depends on the layer's number"
    if fields.get("scale_attn_by_inverse_layer_idx"):
        return "the queries' part of c_attn, for scale_attn_by_inverse_layer_idx"
    return ""


def names_needed(fields: Fields, name: str) -> tuple[str, ...]:
    """The tensors of a block that the changed tensor `name` is made of; none if it stays.

    Args:
        fields: of the config.json of the language model.
        name: of a tensor within its block, such as `self_attn.o_proj.weight`.
    """
    if fields.get("model_type") == "diffllama":
        return _PRODUCT if name in _PRODUCT else (name,) * (name == _OUTPUT)
    if fields.get("scale_attn_by_inverse_layer_idx"):
        return (name,) * (name in (*_QUERIES, *_OTHERS_QUERIES))
    return ()


def changed_tensor(
    fields: Fields, old: int, new: int, name: str, tensors: Mapping[str, Tensor]
) -> Tensor:
    """The tensor `name` of block `old` once the block is block `new`, in its own dtype.

    The block then computes what it did, but for rounding.

    Args:
        fields: of the config.json of the language model.
        old: the number of the block in the whole model.
        new: its number among those that stay, at most `old`.
        name: of a tensor within its block.
        tensors: of that block, by their names in it; at least `names_needed`, or `name` alone.

    Raises:
        DataError: if no value of the tensor does so, which a smaller `new` never meets.
    """
    tensor = tensors[name]
    if old == new or not names_needed(fields, name):
        return tensor
    if fields.get("model_type") == "diffllama":
        if name == _OUTPUT:
            return _times(tensor, (1 - _lambda_init(old)) / (1 - _lambda_init(new)))
        return _product_raised(name, tensors, _lambda_init(old) - _lambda_init(new))
    queries = (new + 1) / (old + 1)
    if name in _OTHERS_QUERIES:
        return _times(tensor, queries)
    changed = tensor.clone()
    width = tensor.shape[-1] // 3
    changed[..., :width] = _times(tensor[..., :width], queries)
    return changed


def _lambda_init(layer: int) -> float:
    return 0.8 - 0.6 * math.exp(-0.3 * layer)


def _times(tensor: Tensor, factor: float) -> Tensor:
    return (tensor.double() * factor).to(tensor.dtype)


def _product_raised(name: str, tensors: Mapping[str, Tensor], more: float) -> Tensor:
    """`lambda_q1` or `lambda_k1`, whose product's exponential is larger by `more`.

    The first moves along the second by as little as possible; a second of zeros along the first.
    """
    first, second = (tensors[part].double() for part in _PRODUCT)
    product = first @ second
    if float(product.exp()) + more <= 0:
        raise DataError(f"{name}: no value makes up for a change of lambda_init by {more:.3g}")
    rise = (product.exp() + more).log() - product
    if second.any():
        first = first + second * (rise / (second @ second))
    elif first.any():
        second = first * (rise / (first @ first))
    else:
        first = first + (rise.abs() / len(first)).sqrt()
        second = first * rise.sign()
    return (first if name == _PRODUCT[0] else second).to(tensors[name].dtype)
