"""A teacher's answer to a batch, and the divergence of a student from it.

A loss sees nothing of a teacher but its `TeacherAnswer` to a batch, so it does not depend on
where the teacher is: on this device, on another one, or cached.

Shapes: B windows, T positions, N = B·T tokens, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from raydistill.distillation.divergence import (
    NO_TARGET,
    SparseTeacher,
    Weights,
    cross_entropy,
    distillation_loss,
    sparse_kl,
)


class TeacherAnswer(ABC):
    """The teacher's distribution at every position of a batch, complete or in part."""

    @abstractmethod
    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        """`lm`·CE + `kl`·T²·KL(teacher ‖ student), nats per valid token, a float32 scalar.

        The KL is summed over the vocabulary; both terms are averaged over the tokens with a target
        (not -100). The others get no gradient. Without a valid token it is 0.
        """

    def kl(self, logits_BTV: Tensor, targets_BT: Tensor, temperature: float = 1.0) -> Tensor:
        """The second term alone, unweighted."""
        return self.loss(logits_BTV, targets_BT, Weights(lm=0.0, kl=1.0, temperature=temperature))


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


@dataclass(frozen=True, slots=True)
class SparseAnswer(TeacherAnswer):
    """Some ids of each token of a batch, in their order, at one temperature."""

    teacher: SparseTeacher
    vocab_size: int  # ids that teacher and student share
    temperature: float = 1.0

    def loss(self, logits_BTV: Tensor, targets_BT: Tensor, weights: Weights) -> Tensor:
        if weights.temperature != self.temperature:
            raise ValueError(
                f"the teacher was written down at temperature {self.temperature}, "
                f"the loss asks for {weights.temperature}"
            )
        if logits_BTV.shape[-1] < self.vocab_size:
            raise ValueError(
                f"the teacher was written down over {self.vocab_size} ids, "
                f"the student has {logits_BTV.shape[-1]}"
            )
        logits_NV, share_N = logits_BTV.flatten(0, 1), shares(targets_BT)
        divergence = weights.kl * sparse_kl(
            logits_NV[:, : self.vocab_size], self.teacher, share_N, temperature=self.temperature
        )
        if not weights.lm:
            return divergence
        return weights.lm * cross_entropy(logits_NV, targets_BT.flatten()) + divergence


def shares(targets_BT: Tensor) -> Tensor:
    """Each token's share of the mean over valid tokens, float [N]; all 0 if none is valid."""
    valid_N = targets_BT.flatten() != NO_TARGET
    return valid_N / valid_N.sum().clamp_min(1)
