"""KD as MiniMA weighs it: half cross-entropy, half KL (Zhang et al., 2023, capacity gap)."""

from torch import Tensor

from raydistill.answers import Ask
from raydistill.losses.kd import mixed


def loss(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
    """0.5·CE + 0.5·KL(teacher ‖ student) at temperature 1."""
    return mixed(logits_BTV, targets_BT, ask, lm_weight=0.5, kl_weight=0.5)
