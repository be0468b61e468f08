"""What a teacher says about a batch, and how far a student is from it.

A teacher is asked for one batch and gives one `Answer`; a loss sees nothing else of it. So it
is all the same to a loss whether the teacher stands on this device, on another one, or was
written down before.

Shapes: B windows, T positions, N = B·T tokens, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from raydistill.divergence import Known, exact_kl, sparse_kl

NO_TARGET = -100


class Answer(Protocol):
    """The teacher's distribution at every position of a batch, or what is known of it."""

    def kl(self, logits_BTV: Tensor, targets_BT: Tensor, temperature: float = 1.0) -> Tensor:
        """T²·KL(teacher ‖ student), nats per valid token, a float32 scalar.

        Summed over the vocabulary, averaged over the tokens with a target (not -100); the
        others get no gradient. Without a valid token it is 0.
        """


Ask = Callable[[], Answer]
"""What a loss gets: asking costs the teacher's forward pass, so only who needs it asks."""


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """All of the teacher's logits [B, T, V]: the exact KL."""

    logits: Tensor

    def kl(self, logits_BTV: Tensor, targets_BT: Tensor, temperature: float = 1.0) -> Tensor:
        return exact_kl(
            logits_BTV.flatten(0, 1),
            self.logits.flatten(0, 1),
            shares(targets_BT),
            temperature=temperature,
        )


@dataclass(frozen=True, slots=True)
class SparseAnswer:
    """Some ids of each token, in the order of the batch's tokens, at one temperature."""

    known: Known
    vocab_size: int  # ids that teacher and student share
    temperature: float = 1.0

    def kl(self, logits_BTV: Tensor, targets_BT: Tensor, temperature: float = 1.0) -> Tensor:
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
        return sparse_kl(
            logits_BTV.flatten(0, 1)[:, : self.vocab_size],
            self.known,
            shares(targets_BT),
            temperature=temperature,
        )


def shares(targets_BT: Tensor) -> Tensor:
    """Each token's share of the mean over valid tokens, float [N]; all 0 if none is valid."""
    valid_N = targets_BT.flatten() != NO_TARGET
    return valid_N / valid_N.sum().clamp_min(1)
