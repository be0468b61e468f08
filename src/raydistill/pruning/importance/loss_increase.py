"""How much the loss grows when one block is skipped.

The perplexity criterion of Kim et al. (2024), "Shortened LLaMA", arXiv:2402.02834.

Shapes: B windows, T positions, N targets of a batch, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from raydistill.models.decoder import Decoder


@torch.inference_mode()
def score(model: Decoder, batches_BT: Sequence[Tensor]) -> Tensor:
    """Loss without each block − loss, nats per token, float64 [num_layers]; negative: it harms.

    Costs num_layers + 1 forward passes over the windows.
    """
    base_loss = loss_without((), model, batches_BT)
    losses = [loss_without((layer,), model, batches_BT) for layer in range(len(model.blocks))]
    return torch.tensor(losses, dtype=torch.float64) - base_loss


def passes(num_layers: int, count: int) -> int:
    """How often the windows are read."""
    del count
    return num_layers + 1


@torch.inference_mode()
def loss_without(layers: Collection[int], model: Decoder, batches_BT: Sequence[Tensor]) -> float:
    """Mean loss of the model while it skips `layers`, nats per token.

    The targets are each window's own tokens from the second on.
    """
    nats, targets = 0.0, 0
    with model.skipping(layers):
        for tokens_BT in batches_BT:
            logits_NV = model(tokens_BT[:, :-1]).flatten(0, 1).float()
            targets_N = tokens_BT[:, 1:].flatten()
            losses_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
            nats += losses_N.double().sum().item()
            targets += len(targets_N)
    return nats / targets
