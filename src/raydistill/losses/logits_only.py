"""KD without the text's own next token: the teacher's distribution alone."""

from torch import Tensor

from raydistill.answers import Ask
from raydistill.losses.kd import mixed


def loss(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
    """KL(teacher ‖ student) at temperature 1."""
    return mixed(logits_BTV, targets_BT, ask, lm_weight=0.0, kl_weight=1.0)
