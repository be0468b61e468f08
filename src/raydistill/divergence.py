"""T²·KL(teacher ‖ student) and its gradient in float32, a slice of the vocabulary at a time.

Of a large vocabulary only the logits and the student's gradient are ever whole: no float32
copies, no probabilities. Shapes: N tokens, V vocabulary, S ids known of each token.

A token's weight is its share of the mean: one over the number of valid tokens, or 0 for
padding, which then neither counts nor gets a gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK = 8_192
"""Vocabulary entries at a time."""

LEAST_REST = 1e-7
"""What is left of a probability of 1 in float32."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a teacher's distribution, at some temperature."""

    ids: Tensor  # int64 [N, S]; padding repeats the first
    log_p: Tensor  # [N, S], finite
    weights: Tensor  # [N, S], what each id counts for; 0 is padding, never the first
    tail: Tensor  # [N], the mass of all other ids as one bucket; 0: no such term


def exact_kl(
    logits_NV: Tensor,
    teacher_NV: Tensor,
    share_N: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> Tensor:
    """The KL to all of the teacher's logits, nats per token, ≥ 0.

    Where one vocabulary is padded further than the other, both are cut to the ids that they
    share and renormalised. T² keeps the gradient's size (Hinton et al., 2015).
    """
    shared = min(logits_NV.shape[-1], teacher_NV.shape[-1])
    value: Tensor = _Exact.apply(
        logits_NV[:, :shared], teacher_NV[:, :shared].detach(), share_N, temperature, chunk
    )  # type: ignore[no-untyped-call]
    return value


def sparse_kl(
    logits_NV: Tensor,
    known: Known,
    share_N: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> Tensor:
    """The KL to what is known of a teacher at this temperature, nats per token.

    Σ w·(log p − log q) over the known ids, and tail·(log tail − log of the student's mass on
    all other ids).
    """
    value: Tensor = _Sparse.apply(logits_NV, known, share_N, temperature, chunk)  # type: ignore[no-untyped-call]
    return value


class _Exact(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student_NV: Tensor,
        teacher_NV: Tensor,
        share_N: Tensor,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        norm_N = _logsumexp(student_NV, temperature, chunk)
        teacher_norm_N = _logsumexp(teacher_NV, temperature, chunk)
        ctx.save_for_backward(student_NV, teacher_NV, share_N, norm_N, teacher_norm_N)
        ctx.temperature, ctx.chunk = temperature, chunk
        kl_N = torch.zeros_like(norm_N)
        for part in _slices(student_NV, chunk):
            log_q = _log_softmax(student_NV[:, part], norm_N, temperature)
            log_p = _log_softmax(teacher_NV[:, part], teacher_norm_N, temperature)
            difference = log_p - log_q
            kl_N += log_p.exp_().mul_(difference).sum(-1)
        return temperature**2 * _mean(kl_N, share_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        student_NV, teacher_NV, share_N, norm_N, teacher_norm_N = ctx.saved_tensors
        factor_N1 = (ctx.temperature * grads[0] * share_N).unsqueeze(-1)
        gradient = torch.empty_like(student_NV)
        for part in _slices(student_NV, ctx.chunk):
            q = _log_softmax(student_NV[:, part], norm_N, ctx.temperature).exp_()
            p = _log_softmax(teacher_NV[:, part], teacher_norm_N, ctx.temperature).exp_()
            gradient[:, part] = q.sub_(p).mul_(factor_N1)
        return _without_padding(gradient, share_N), None, None, None, None


class _Sparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits_NV: Tensor,
        known: Known,
        share_N: Tensor,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        norm_N = _logsumexp(logits_NV, temperature, chunk)
        log_q_NS = _log_softmax(logits_NV.gather(-1, known.ids), norm_N, temperature)
        known_q_N = (log_q_NS.exp() * (known.weights > 0)).sum(-1)
        rest_N = (1 - known_q_N).clamp_min(LEAST_REST)
        ctx.save_for_backward(logits_NV, share_N, norm_N, log_q_NS, rest_N)
        ctx.known, ctx.temperature, ctx.chunk = known, temperature, chunk
        kl_N = (known.weights * (known.log_p - log_q_NS)).sum(-1)
        kl_N += torch.xlogy(known.tail, known.tail) - known.tail * rest_N.log()
        return temperature**2 * _mean(kl_N, share_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits_NV, share_N, norm_N, log_q_NS, rest_N = ctx.saved_tensors
        known: Known = ctx.known
        factor_N1 = (ctx.temperature * grads[0] * share_N).unsqueeze(-1)
        mass_N1 = (known.weights.sum(-1) + known.tail).unsqueeze(-1)
        unknown_N1 = mass_N1 - (known.tail / rest_N).unsqueeze(-1)
        gradient = torch.empty_like(logits_NV)
        for part in _slices(logits_NV, ctx.chunk):
            q = _log_softmax(logits_NV[:, part], norm_N, ctx.temperature).exp_()
            gradient[:, part] = q.mul_(unknown_N1 * factor_N1)
        known_NS = (mass_N1 * log_q_NS.exp() - known.weights) * factor_N1
        # Padding repeats the first id, and so must write the same.
        known_NS = torch.where(known.weights > 0, known_NS, known_NS[:, :1])
        gradient.scatter_(-1, known.ids, known_NS.to(gradient.dtype))
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
    """In float32; no copy where there is nothing to do."""
    return logits_NV.float() if temperature == 1 else logits_NV.float() / temperature


def _mean(kl_N: Tensor, share_N: Tensor) -> Tensor:
    """Not a matrix product: autocast would round that to bfloat16."""
    return (kl_N.masked_fill(share_N == 0, 0) * share_N).sum()


def _without_padding(gradient_NV: Tensor, share_N: Tensor) -> Tensor:
    return gradient_NV.masked_fill_((share_N == 0).unsqueeze(-1), 0)
