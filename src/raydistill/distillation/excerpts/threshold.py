"""The likely ids as they are, and an unbiased sample of the unlikely ones for the rest.

With a threshold c, an id above it is certain to be taken and weighs its probability p; one
below is taken with probability p/c and weighs c. On average each weighs p, so value and
gradient are unbiased, and the weights' variances add up to the least that n ids allow. c is
such that n ids are expected; drawing at even distances takes exactly n (threshold sampling:
Duffield, Lund and Thorup, 2007; systematic sampling: Madow, 1949).
"""

import torch
from torch import Tensor

from raydistill.distillation.divergence import SparseTeacher
from raydistill.distillation.excerpt import Excerpt, Form


def take(log_p_NV: Tensor, size: int, rng: torch.Generator) -> Excerpt:
    """`size` different ids; the scalar is log c."""
    size = min(size, log_p_NV.shape[-1])
    p_NV = log_p_NV.double().exp()
    threshold_N1 = _threshold(p_NV, size)
    cumulative_NV = (p_NV / threshold_N1).clamp_max(1).cumsum(-1)
    start_N1 = torch.rand_like(p_NV[:, :1], generator=rng)
    marks_NS = torch.arange(size, device=p_NV.device) + start_N1
    ids_NS = torch.searchsorted(cumulative_NV, marks_NS, right=True).clamp_max(p_NV.shape[-1] - 1)
    return Excerpt(ids_NS, log_p_NV.gather(-1, ids_NS), scalar=threshold_N1[:, 0].log().float())


def known(excerpt: Excerpt, size: int) -> SparseTeacher:
    """The weights, renormalised after rounding on disk."""
    del size
    assert excerpt.scalar is not None, "taken with a threshold"
    weights_NS = torch.maximum(excerpt.log_p, excerpt.scalar[:, None]).softmax(-1)
    tail_N = torch.zeros_like(weights_NS[:, 0])
    return SparseTeacher(excerpt.ids, excerpt.log_p, weights_NS, tail_N)


def _threshold(p_NV: Tensor, size: int) -> Tensor:
    """[N, 1], such that the sum of min(1, p/c) is `size`.

    With the h likeliest above it, the others share size − h draws: c = (their mass)/(size − h).
    """
    likeliest_NS = p_NV.topk(size).values
    above = torch.arange(size, device=p_NV.device)
    mass_N1 = p_NV.sum(-1, keepdim=True)
    others_NS = mass_N1 - likeliest_NS.cumsum(-1) + likeliest_NS
    thresholds_NS = others_NS / (size - above)
    fits_NS = likeliest_NS <= thresholds_NS
    fits_NS[:, -1] = True  # with one draw for all others, despite rounding
    first_N1 = fits_NS.to(torch.int8).argmax(-1, keepdim=True)
    return thresholds_NS.gather(-1, first_N1)


form = Form(take=take, known=known, scalar=True)
