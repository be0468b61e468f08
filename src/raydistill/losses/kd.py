"""KD, the paper's baseline: L_LM + L_KL (sections 2.3 and 4.3)."""

from torch import Tensor

from raydistill.answers import Ask
from raydistill.losses import lm as teacher_free


def loss(
    logits_BTV: Tensor,
    targets_BT: Tensor,
    ask: Ask,
    *,
    lm: float = 1.0,
    kl: float = 1.0,
    temperature: float = 1.0,
) -> Tensor:
    """`lm`·CE + `kl`·T²·KL(teacher ‖ student), averaged over the same targets (METHOD 5)."""
    divergence = kl * ask().kl(logits_BTV, targets_BT, temperature)
    if lm == 0:
        return divergence
    return lm * teacher_free.loss(logits_BTV, targets_BT, ask) + divergence
