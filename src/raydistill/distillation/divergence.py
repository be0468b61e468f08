"""CE and T²·KL(teacher ‖ student) in float32, in chunks of tokens and of the vocabulary.

Of a large vocabulary only the logits and the student's gradient are ever complete: no float32
copies, no probabilities. Shapes: N tokens, V vocabulary, S ids known of each token.

A token's weight is its share of the mean: one over the number of valid tokens, or 0 for
padding, which then neither counts nor gets a gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

VOCABULARY_CHUNK = 8_192  # vocabulary entries at a time
CPU_LOGITS, GPU_LOGITS = 1 << 17, 1 << 26  # at a time; on a CPU they fit its cache
NO_TARGET = -100  # the target of padding
MIN_REST = 1e-7  # of a probability: 1 minus this is below 1 in float32


@dataclass(frozen=True, slots=True)
class SparseTeacher:
    """What is known of a teacher's distribution, at some temperature."""

    ids: Tensor  # int64 [N, S]; padding repeats the first
    log_p: Tensor  # [N, S], finite
    weights: Tensor  # [N, S], of each id; 0 is padding, never the first
    tail: Tensor  # [N], the mass of all other ids as one bucket; 0: no such term


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the two terms of a loss with a teacher, and the temperature of the KL."""

    lm: float
    kl: float
    temperature: float = 1.0


def distillation_loss(
    logits_NV: Tensor,
    teacher_NV: Tensor,
    targets_N: Tensor,
    share_N: Tensor,
    weights: Weights,
    *,
    chunk: int = VOCABULARY_CHUNK,
) -> Tensor:
    """`lm`·CE + `kl`·T²·KL to all of the teacher's logits, nats per token, in one pass.

    Where one vocabulary is padded further than the other, the KL is over the shared ids,
    renormalised. T² keeps the gradient's size (Hinton et al., 2015).
    """
    shared = min(logits_NV.shape[-1], teacher_NV.shape[-1])
    if weights.lm and shared < logits_NV.shape[-1]:
        kl_only = Weights(lm=0.0, kl=weights.kl, temperature=weights.temperature)
        kl = distillation_loss(logits_NV, teacher_NV, targets_N, share_N, kl_only, chunk=chunk)
        return kl + weights.lm * cross_entropy(logits_NV, targets_N)
    value: Tensor = _DenseLoss.apply(
        logits_NV[:, :shared], teacher_NV[:, :shared].detach(), targets_N, share_N, weights, chunk
    )  # type: ignore[no-untyped-call]
    return value


def cross_entropy(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Mean nats over the targets that are not -100, a float32 scalar; 0 without any."""
    sum_nats = F.cross_entropy(logits_NV.float(), targets_N, reduction="sum")
    return sum_nats / (targets_N != NO_TARGET).sum().clamp_min(1)


def sparse_kl(
    logits_NV: Tensor,
    teacher: SparseTeacher,
    share_N: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int = VOCABULARY_CHUNK,
) -> Tensor:
    """The KL to what is known of a teacher at this temperature, nats per token.

    Σ w·(log p − log q) over the known ids, and tail·(log tail − log of the student's mass on
    all other ids).
    """
    value: Tensor = _SparseKL.apply(logits_NV, teacher, share_N, temperature, chunk)  # type: ignore[no-untyped-call]
    return value


class _DenseLoss(torch.autograd.Function):
    """The gradient is computed in the forward pass, chunk by chunk, while logits are in cache."""

    @staticmethod
    def forward(
        ctx: Any,
        student_NV: Tensor,
        teacher_NV: Tensor,
        targets_N: Tensor,
        share_N: Tensor,
        weights: Weights,
        chunk: int,
    ) -> Tensor:
        gradient, nats_N = torch.empty_like(student_NV), torch.empty_like(share_N)
        logits = GPU_LOGITS if student_NV.is_cuda else CPU_LOGITS
        size = max(1, logits // min(chunk, student_NV.shape[-1]))
        for first in range(0, len(student_NV), size):
            n = slice(first, first + size)
            nats_N[n] = _dense_terms(
                student_NV[n], teacher_NV[n], share_N[n], gradient[n], weights, chunk
            )
        if weights.lm:
            valid_N = targets_N.clamp_min(0).unsqueeze(-1)
            nats_N -= weights.lm * student_NV.gather(-1, valid_N).squeeze(-1).float()
            own_N1 = (-weights.lm * share_N).unsqueeze(-1)
            gradient.scatter_add_(-1, valid_N, own_N1.to(gradient.dtype))
        ctx.save_for_backward(_without_padding(gradient, share_N))
        return _mean(nats_N, share_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(grads[0]), None, None, None, None, None


def _dense_terms(
    student_NV: Tensor,
    teacher_NV: Tensor,
    share_N: Tensor,
    gradient_NV: Tensor,
    weights: Weights,
    chunk: int,
) -> Tensor:
    """Both terms of some tokens, without the target's logit; fills `gradient_NV` in place."""
    temperature = weights.temperature
    norm_N = _logsumexp(student_NV, 1.0, chunk)
    warm_N = norm_N if temperature == 1 else _logsumexp(student_NV, temperature, chunk)
    teacher_N = _logsumexp(teacher_NV, temperature, chunk)
    to_lm_N1 = (weights.lm * share_N).unsqueeze(-1)
    to_kl_N1 = (weights.kl * temperature * share_N).unsqueeze(-1)
    kl_N = torch.zeros_like(norm_N)
    for part in _slices(student_NV, chunk):
        log_q = _log_softmax(student_NV[:, part], warm_N, temperature)
        log_p = _log_softmax(teacher_NV[:, part], teacher_N, temperature)
        p, q = log_p.exp(), log_q.exp()
        kl_N += torch.linalg.vecdot(p, log_p.sub_(log_q))
        if temperature == 1:
            lm_q = q * to_lm_N1 if weights.lm else 0
        else:
            lm_q = _log_softmax(student_NV[:, part], norm_N, 1.0).exp_().mul_(to_lm_N1)
        gradient_NV[:, part] = q.sub_(p).mul_(to_kl_N1).add_(lm_q)
    return weights.lm * norm_N + weights.kl * temperature**2 * kl_N


class _SparseKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        teacher: SparseTeacher,
        share_N: Tensor,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        norm_N = _logsumexp(logits_NV, temperature, chunk)
        log_q_NS = _log_softmax(logits_NV.gather(-1, teacher.ids), norm_N, temperature)
        known_q_N = (log_q_NS.exp() * (teacher.weights > 0)).sum(-1)
        rest_N = (1 - known_q_N).clamp_min(MIN_REST)
        ctx.save_for_backward(logits_NV, share_N, norm_N, log_q_NS, rest_N)
        ctx.teacher, ctx.temperature, ctx.chunk = teacher, temperature, chunk
        kl_N = (teacher.weights * (teacher.log_p - log_q_NS)).sum(-1)
        kl_N += torch.xlogy(teacher.tail, teacher.tail) - teacher.tail * rest_N.log()
        return temperature**2 * _mean(kl_N, share_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits_NV, share_N, norm_N, log_q_NS, rest_N = ctx.saved_tensors
        teacher: SparseTeacher = ctx.teacher
        factor_N1 = (ctx.temperature * grads[0] * share_N).unsqueeze(-1)
        mass_N1 = (teacher.weights.sum(-1) + teacher.tail).unsqueeze(-1)
        unknown_N1 = mass_N1 - (teacher.tail / rest_N).unsqueeze(-1)
        gradient = torch.empty_like(logits_NV)
        for part in _slices(logits_NV, ctx.chunk):
            q = _log_softmax(logits_NV[:, part], norm_N, ctx.temperature).exp_()
            gradient[:, part] = q.mul_(unknown_N1 * factor_N1)
        known_NS = (mass_N1 * log_q_NS.exp() - teacher.weights) * factor_N1
        # Padding repeats the first id, and so must write the same value.
        known_NS = torch.where(teacher.weights > 0, known_NS, known_NS[:, :1])
        gradient.scatter_(-1, teacher.ids, known_NS.to(gradient.dtype))
        return _without_padding(gradient, share_N), None, None, None, None


def _slices(logits_NV: Tensor, chunk: int) -> Iterator[slice]:
    for first in range(0, logits_NV.shape[-1], chunk):
        yield slice(first, first + chunk)


def _logsumexp(logits_NV: Tensor, temperature: float, chunk: int) -> Tensor:
    parts = [
        _scaled(logits_NV[:, part], temperature).logsumexp(-1) for part in _slices(logits_NV, chunk)
    ]
    return torch.stack(parts).logsumexp(0)


def _log_softmax(logits_NV: Tensor, norm_N: Tensor, temperature: float) -> Tensor:
    return _scaled(logits_NV, temperature) - norm_N.unsqueeze(-1)


def _scaled(logits_NV: Tensor, temperature: float) -> Tensor:
    """In float32, without a copy where it already is."""
    return logits_NV.float() if temperature == 1 else logits_NV.float() / temperature


def _mean(kl_N: Tensor, share_N: Tensor) -> Tensor:
    """The weighted sum; no matrix product, which autocast would round to bfloat16."""
    return (kl_N.masked_fill(share_N == 0, 0) * share_N).sum()


def _without_padding(gradient_NV: Tensor, share_N: Tensor) -> Tensor:
    return gradient_NV.masked_fill_((share_N == 0).unsqueeze(-1), 0)
