"""The likeliest ids, renormalised: biased where the teacher is uncertain.

All other ids count as impossible, so the student is taught to be surer than the teacher.
"""

import torch
from torch import Tensor

from raydistill.distillation.divergence import SparseTeacher
from raydistill.distillation.excerpt import Excerpt, Form


def take(log_p_NV: Tensor, size: int, rng: torch.Generator) -> Excerpt:
    """The `size` likeliest ids."""
    del rng
    log_p_NS, ids_NS = log_p_NV.topk(min(size, log_p_NV.shape[-1]))
    return Excerpt(ids_NS, log_p_NS)


def known(excerpt: Excerpt, size: int) -> SparseTeacher:
    """A distribution without other ids."""
    del size
    log_p_NS = excerpt.log_p.log_softmax(-1)
    tail_N = torch.zeros_like(log_p_NS[:, 0])
    return SparseTeacher(excerpt.ids, log_p_NS, log_p_NS.exp(), tail_N)


form = Form(take=take, known=known)
