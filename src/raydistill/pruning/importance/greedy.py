"""Greedy removal of the least important block (Song et al., 2024, "SLEB", arXiv:2402.09025)."""

from collections.abc import Sequence

from torch import Tensor

from raydistill.models.decoder import Decoder
from raydistill.pruning.importance.loss_increase import loss_without


def choose(
    model: Decoder, batches_BT: Sequence[Tensor], count: int, candidates: Sequence[int]
) -> tuple[int, ...]:
    """The layer whose removal raises the loss least leaves, then the rest is scored again.

    Layers in the order in which they leave, so a smaller count takes a prefix of a larger
    one. Of equals the lower layer leaves. Costs about count · len(candidates) forward passes
    over the windows: the most expensive score.
    """
    removed: tuple[int, ...] = ()
    for _ in range(count):
        remaining = [layer for layer in candidates if layer not in removed]
        losses = {layer: loss_without((*removed, layer), model, batches_BT) for layer in remaining}
        removed = (*removed, min(remaining, key=losses.__getitem__))
    return removed


def passes(num_layers: int, count: int) -> int:
    """How often the windows are read, if the first and the last layer stay."""
    return sum(num_layers - 2 - i for i in range(count))
