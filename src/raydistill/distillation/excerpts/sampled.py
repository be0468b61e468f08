"""Ids drawn from the teacher's distribution: random sampling KD.

Anshumann et al. (2025), Sparse Logit Sampling, with the teacher itself as the proposal. An id
drawn c times in n weighs c/n, which on average is its probability: so the gradient is unbiased.
"""

import torch
from torch import Tensor

from raydistill.distillation.divergence import SparseTeacher
from raydistill.distillation.excerpt import Excerpt, Form


def take(log_p_NV: Tensor, size: int, rng: torch.Generator) -> Excerpt:
    """`size` draws with replacement; S is the largest number of different ids of a token."""
    drawn_NS = torch.multinomial(log_p_NV.exp(), size, replacement=True, generator=rng)
    counts_NV = torch.zeros_like(log_p_NV, dtype=torch.int32)
    counts_NV.scatter_add_(-1, drawn_NS, torch.ones_like(drawn_NS, dtype=torch.int32))
    most = int((counts_NV > 0).sum(-1).max())
    counts_NS, ids_NS = counts_NV.topk(most)
    return Excerpt(ids_NS, log_p_NV.gather(-1, ids_NS), counts=counts_NS)


def known(excerpt: Excerpt, size: int) -> SparseTeacher:
    """Each id by its share of the draws."""
    assert excerpt.counts is not None, "taken with counts"
    tail_N = torch.zeros_like(excerpt.log_p[:, 0])
    return SparseTeacher(excerpt.ids, excerpt.log_p, excerpt.counts / size, tail_N)


form = Form(take=take, known=known, counts=True)
