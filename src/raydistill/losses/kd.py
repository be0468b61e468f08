"""KD, the paper's baseline: L_LM + L_KL (sections 2.3 and 4.3)."""

from torch import Tensor

from raydistill.answers import Ask
from raydistill.losses import lm


def loss(logits_BTV: Tensor, targets_BT: Tensor, ask: Ask) -> Tensor:
    """Cross-entropy plus KL(teacher ‖ student), equally weighted, at temperature 1."""
    return mixed(logits_BTV, targets_BT, ask, lm_weight=1.0, kl_weight=1.0)


def mixed(
    logits_BTV: Tensor,
    targets_BT: Tensor,
    ask: Ask,
    *,
    lm_weight: float,
    kl_weight: float,
    temperature: float = 1.0,
) -> Tensor:
    """`lm_weight`·CE + `kl_weight`·T²·KL, both averaged over the same targets (METHOD 5)."""
    divergence = ask().kl(logits_BTV, targets_BT, temperature)
    if lm_weight == 0:
        return kl_weight * divergence
    return lm_weight * lm.loss(logits_BTV, targets_BT, ask) + kl_weight * divergence
