"""Teacher-free: the language modelling loss alone (paper, section 2.3)."""

import torch.nn.functional as F
from torch import Tensor

from raydistill.answers import NO_TARGET, Ask


def loss(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
    """Mean cross-entropy over the targets that are not -100, 0 without any; nobody is asked."""
    del ask
    sum_nats = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="sum"
    )
    return sum_nats / (targets_BT != NO_TARGET).sum().clamp_min(1)
