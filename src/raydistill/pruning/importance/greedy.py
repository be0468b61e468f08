"""The least missed block leaves, again and again (Song et al., 2024, "SLEB", arXiv:2402.09025)."""

from collections.abc import Sequence

from torch import Tensor

from raydistill.models.decoder import Decoder
from raydistill.pruning.importance.loss_increase import loss_without


def choose(
    model: Decoder, batches_BT: Sequence[Tensor], count: int, candidates: Sequence[int]
) -> tuple[int, ...]:
    """The layer whose loss grows least leaves; those that remain are all scored again; and so on.

    Layers in the order in which they leave, so a smaller count takes a prefix of a larger
    one. Of equals the lower layer leaves. Costs about count · len(candidates) forward passes
    over the windows: the dearest of the scores.
    """
    gone: tuple[int, ...] = ()
    for _ in range(count):
        left = [layer for layer in candidates if layer not in gone]
        losses = {layer: loss_without((*gone, layer), model, batches_BT) for layer in left}
        gone = (*gone, min(left, key=losses.__getitem__))
    return gone
