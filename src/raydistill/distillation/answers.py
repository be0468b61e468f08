"""A teacher's answer to a batch, and the divergence of a student from it.

A loss sees nothing of a teacher but its `TeacherAnswer` to a batch, so it does not depend on
where the teacher is: on this device, on another one, or cached.

Shapes: B windows, T positions, N = B·T tokens, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raydistill.distillation.divergence import (
    NO_TARGET,
    SparseTeacher,
    Weights,
    cross_entropy,
    distillation_loss,
    sparse_kl,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogProbs:
    """Teacher and student at the ids [B, T, S] that are known of each token, at one temperature.

    Of a whole answer these are all ids, of a cached one some. A sum over the vocabulary of
    p·f is estimated by one of `weights`·f over them: exactly, or without bias, as the cache says.
    """

    ids: Tensor  # int64 [B, T, S]
    teacher: Tensor  # float32 [B, T, S], the log of each id's probability
    student: Tensor  # the same of the student, with its gradient
    weights: Tensor  # [B, T, S], of each id in a sum over the teacher's distribution; or 0
    tail: Tensor  # [B, T], the teacher's probability of all other ids as one bucket, or 0


class TeacherAnswer(ABC):
    """The teacher's distribution at every position of a batch, complete or in part.

    All that a loss may ask is the same for a whole and for a cached answer, but for
    `all_log_probs`. Where one vocabulary is padded further, the ids that both share are meant.
    """

    @abstractmethod
    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        """`lm`·CE + `kl`·T²·KL(teacher ‖ student), nats per valid token, a float32 scalar.

        The KL is summed over the vocabulary; both terms are averaged over the tokens with a target
        (not -100). The others get no gradient. Without a valid token it is 0.
        """

    def kl(self, logits_BTV: Tensor, targets_BT: Tensor, temperature: float = 1.0) -> Tensor:
        """The second term alone, unweighted."""
        return self.loss(logits_BTV, targets_BT, Weights(lm=0.0, kl=1.0, temperature=temperature))

    @abstractmethod
    def log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> LogProbs:
        """Teacher and student at the ids that are known.

        Raises:
            ValueError: if a cached answer was written at another temperature, which is that of the
                loss's setting `temperature`, or 1.
        """

    @abstractmethod
    def all_log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the teacher and of the student, float32 [B, T, all shared ids].

        For a loss whose file says `TEACHER = "whole"`.

        Raises:
            ValueError: if the answer has some ids only.
        """


Ask = Callable[[], TeacherAnswer]  # costs the teacher's forward pass: only a loss with one calls it


@dataclass(frozen=True, slots=True)
class WholeAnswer(TeacherAnswer):
    """All of the teacher's logits [B, T, V]: the exact KL."""

    logits: Tensor

    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        return distillation_loss(
            logits_BTV.flatten(0, 1),
            self.logits.flatten(0, 1),
            targets_BT.flatten(),
            shares(targets_BT),
            weights,
        )

    def log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> LogProbs:
        teacher, student = self.all_log_probs(logits_BTV, temperature)
        ids = torch.arange(teacher.shape[-1], device=teacher.device).expand_as(teacher)
        tail = torch.zeros_like(teacher[..., 0])
        return LogProbs(ids=ids, teacher=teacher, student=student, weights=teacher.exp(), tail=tail)

    def all_log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        shared = min(logits_BTV.shape[-1], self.logits.shape[-1])
        teacher, student = (
            (logits[..., :shared].float() / temperature).log_softmax(-1)
            for logits in (self.logits.detach(), logits_BTV)
        )
        return teacher, student


@dataclass(frozen=True, slots=True)
class SparseAnswer(TeacherAnswer):
    """Some ids of each token of a batch, in their order, at one temperature."""

    teacher: SparseTeacher
    vocab_size: int  # ids that teacher and student share
    temperature: float = 1.0

    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        self._check(logits_BTV, weights.temperature)
        logits_NV, share_N = logits_BTV.flatten(0, 1), shares(targets_BT)
        divergence = weights.kl * sparse_kl(
            logits_NV[:, : self.vocab_size], self.teacher, share_N, temperature=self.temperature
        )
        if not weights.lm:
            return divergence
        return weights.lm * cross_entropy(logits_NV, targets_BT.flatten()) + divergence

    def log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> LogProbs:
        self._check(logits_BTV, temperature)
        shape = logits_BTV.shape[:2]
        scaled_BTV = logits_BTV[..., : self.vocab_size].float() / temperature
        ids = self.teacher.ids.unflatten(0, shape)
        return LogProbs(
            ids=ids,
            teacher=self.teacher.log_p.unflatten(0, shape),
            student=scaled_BTV.gather(-1, ids) - scaled_BTV.logsumexp(-1, keepdim=True),
            weights=self.teacher.weights.unflatten(0, shape),
            tail=self.teacher.tail.unflatten(0, shape),
        )

    def all_log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        raise ValueError("a cached teacher keeps some ids of each token, not all")

    def _check(self, logits_BTV: Tensor, temperature: float) -> None:
        if temperature != self.temperature:
            raise ValueError(
                f"the teacher was written down at temperature {self.temperature}, "
                f"the loss asks for {temperature}"
            )
        if logits_BTV.shape[-1] < self.vocab_size:
            raise ValueError(
                f"the teacher was written down over {self.vocab_size} ids, "
                f"the student has {logits_BTV.shape[-1]}"
            )


@dataclass(frozen=True, slots=True)
class KnownAnswer(TeacherAnswer):
    """An answer as a loss sees it that asks no more than a cached teacher knows.

    It refuses what a cached one would, so that the loss does not depend on where the teacher is.
    """

    answer: TeacherAnswer
    temperature: float  # at which a cached teacher would be written

    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        self._check(weights.temperature)
        return self.answer.loss(logits_BTV, targets_BT, weights)

    def log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> LogProbs:
        self._check(temperature)
        return self.answer.log_probs(logits_BTV, temperature)

    def all_log_probs(self, logits_BTV: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        raise ValueError("its file must say TEACHER = 'whole': a cached teacher keeps some ids")

    def _check(self, temperature: float) -> None:
        if temperature != self.temperature:
            raise ValueError(
                f"the loss asks for temperature {temperature:g}, and its setting `temperature` is "
                f"{self.temperature:g}, at which a cached teacher is written"
            )


def token_mean(values_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """The mean over the tokens with a target (not -100), a scalar; 0 without any."""
    values_N, share_N = values_BT.flatten(), shares(targets_BT)
    return (values_N.masked_fill(share_N == 0, 0) * share_N).sum()


def shares(targets_BT: Tensor) -> Tensor:
    """Each token's share of the mean over valid tokens, float [N]; all 0 if none is valid."""
    valid_N = targets_BT.flatten() != NO_TARGET
    return valid_N / valid_N.sum().clamp_min(1)
