"""KD, the paper's baseline: L_LM + L_KL (sections 2.3 and 4.3)."""

import torch.nn.functional as F
from torch import Tensor

from raydistill.losses import TeacherLogits, lm


def loss(logits_BTV: Tensor, targets_BT: Tensor, teacher_logits: TeacherLogits) -> Tensor:
    """Cross-entropy plus KL(teacher ‖ student), equally weighted, at temperature 1."""
    return mixed(logits_BTV, targets_BT, teacher_logits, lm_weight=1.0, kl_weight=1.0)


def mixed(
    logits_BTV: Tensor,
    targets_BT: Tensor,
    teacher_logits: TeacherLogits,
    *,
    lm_weight: float,
    kl_weight: float,
    temperature: float = 1.0,
) -> Tensor:
    """`lm_weight`·CE + `kl_weight`·T²·KL, both averaged over the same targets (METHOD 5)."""
    divergence = kl(logits_BTV, teacher_logits(), temperature)
    if lm_weight == 0:
        return kl_weight * divergence
    return lm_weight * lm.loss(logits_BTV, targets_BT, teacher_logits) + kl_weight * divergence


def kl(logits_BTV: Tensor, teacher_BTV: Tensor, temperature: float = 1.0) -> Tensor:
    """T²·KL(teacher ‖ student), summed over the vocabulary and averaged over tokens; ≥ 0.

    T² keeps the gradient's size whatever the temperature (Hinton et al., 2015).
    """
    student = (logits_BTV.flatten(0, 1).float() / temperature).log_softmax(-1)
    teacher = (teacher_BTV.flatten(0, 1).float() / temperature).log_softmax(-1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
