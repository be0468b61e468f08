"""Teacher-free: the language modelling loss alone (paper, section 2.3)."""

import torch.nn.functional as F
from torch import Tensor


def loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy over all targets, nats per token, a float32 scalar."""
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())
