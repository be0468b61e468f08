"""Teacher-free: the language modelling loss alone (paper, section 2.3)."""

from torch import Tensor

from raydistill.distillation.answers import Ask
from raydistill.distillation.divergence import cross_entropy

TEACHER = "none"


def loss(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
    """Mean cross-entropy over the targets that are not -100, 0 without any; `ask` is not called."""
    del ask
    return cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
