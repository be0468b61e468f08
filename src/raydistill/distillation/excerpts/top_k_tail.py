"""The likeliest ids, and the mass of all others as one bucket.

The KL over k + 1 outcomes is never above the exact one; within the bucket the student learns
nothing, so the bias grows with the teacher's mass there.
"""

import torch
from torch import Tensor

from raydistill.distillation.divergence import SparseTeacher
from raydistill.distillation.excerpt import Excerpt, Form


def take(log_p_NV: Tensor, size: int, rng: torch.Generator) -> Excerpt:
    """The `size` likeliest ids; the scalar is the log of the mass of all others."""
    del rng
    log_p_NS, ids_NS = log_p_NV.topk(min(size, log_p_NV.shape[-1]))
    tail_N = (1 - log_p_NS.double().exp().sum(-1)).clamp_min(0)
    return Excerpt(ids_NS, log_p_NS, scalar=tail_N.log().float())


def known(excerpt: Excerpt, size: int) -> SparseTeacher:
    """The ids and the tail, renormalised after rounding on disk."""
    del size
    assert excerpt.scalar is not None, "taken with a tail"
    norm_N = torch.cat([excerpt.log_p, excerpt.scalar[:, None]], dim=-1).logsumexp(-1)
    log_p_NS = excerpt.log_p - norm_N[:, None]
    return SparseTeacher(excerpt.ids, log_p_NS, log_p_NS.exp(), (excerpt.scalar - norm_N).exp())


form = Form(take=take, known=known, scalar=True)
