"""Teacher-free: the language modelling loss alone (paper, section 2.3)."""

import torch.nn.functional as F
from torch import Tensor

from raydistill.losses import TeacherLogits


def loss(logits_BTV: Tensor, targets_BT: Tensor, teacher_logits: TeacherLogits) -> Tensor:
    """Mean cross-entropy over all targets; the teacher is not asked."""
    del teacher_logits
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())
