"""Angular distance across a contiguous span, over all tokens.

Gromov et al. (2024), "The Unreasonable Ineffectiveness of the Deeper Layers",
arXiv:2403.17887, section 3.2, take it at the last token: `angular_distance_last.py`.

Shapes: B windows, T positions, P of them read, D model width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from raydistill.models.decoder import Decoder

EVERY, LAST = slice(None), slice(-1, None)  # positions of a window


def score(model: Decoder, batches_BT: Sequence[Tensor]) -> Tensor:
    """Distance of each block's input and output: spans of one. Float64 [num_layers], in [0, 1]."""
    return span_distances(model, batches_BT, 1, EVERY)


def choose(
    model: Decoder, batches_BT: Sequence[Tensor], count: int, candidates: Sequence[int]
) -> tuple[int, ...]:
    """The span of `count` layers that turns the hidden states least; ascending."""
    return nearest_span(span_distances(model, batches_BT, count, EVERY), count, candidates)


@torch.inference_mode()
def span_distances(
    model: Decoder, batches_BT: Sequence[Tensor], length: int, positions: slice
) -> Tensor:
    """Mean arccos(cos)/π of the input and the output of every span of `length` blocks.

    By first layer, float64 [num_layers − length + 1], in [0, 1]. One forward pass.
    """
    num_spans = len(model.blocks) - length + 1
    distance_sum = torch.zeros(num_spans, dtype=torch.float64)
    num_read = 0
    for tokens_BT in batches_BT:
        states_BPD, _ = model.states(tokens_BT, positions)
        num_read += states_BPD[0].shape[:-1].numel()
        for first in range(num_spans):
            distance_BP = angular(states_BPD[first], states_BPD[first + length])
            distance_sum[first] += distance_BP.sum().cpu()
    return distance_sum / num_read


def nearest_span(distances: Tensor, count: int, candidates: Sequence[int]) -> tuple[int, ...]:
    """The span of `count` layers inside `candidates` of least distance; the first of equals."""
    starts = range(candidates[0], candidates[-1] + 2 - count)
    first = min(starts, key=distances.tolist().__getitem__)
    return tuple(range(first, first + count))


def angular(left_D: Tensor, right_D: Tensor) -> Tensor:
    """arccos(cos)/π of two tensors along their last dimension, float64, in [0, 1].

    Rounding takes the cosine of equal vectors past 1, where arccos is NaN: it is clamped.
    """
    cosine = torch.cosine_similarity(left_D.double(), right_D.double(), dim=-1)
    return cosine.clamp(-1, 1).arccos() / math.pi
