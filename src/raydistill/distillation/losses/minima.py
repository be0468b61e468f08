"""KD with the weights of MiniMA: half LM loss, half KL (Zhang et al., 2023, capacity gap)."""

from torch import Tensor

from raydistill.distillation.answers import Ask
from raydistill.distillation.losses import kd


def loss(
    logits_BTV: Tensor,
    targets_BT: Tensor,
    ask: Ask,
    *,
    lm: float = 0.5,
    kl: float = 0.5,
    temperature: float = 1.0,
) -> Tensor:
    """`kd` with other weights."""
    return kd.loss(logits_BTV, targets_BT, ask, lm=lm, kl=kl, temperature=temperature)
