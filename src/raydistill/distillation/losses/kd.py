"""KD, the paper's baseline: L_LM + L_KL (sections 2.3 and 4.3)."""

from torch import Tensor

from raydistill.distillation.answers import Ask
from raydistill.distillation.divergence import Weights


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
    return ask().loss(logits_BTV, targets_BT, Weights(lm=lm, kl=kl, temperature=temperature))
