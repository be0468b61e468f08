"""What is written of a teacher's distribution: some ids of each token, and what they stand for.

An excerpt is a file of this folder that defines `form`: how to take `size` ids from a
distribution, and what a loss may then know of it. Shapes: N tokens, V vocabulary, S ids taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from raydistill.divergence import Known
from raydistill.parts import load_part


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is written of N tokens."""

    ids: Tensor  # int64 [N, S], the first of a token always one of those taken
    log_p: Tensor  # [N, S]
    counts: Tensor | None = None  # [N, S], how often each was drawn; 0: not at all, not written
    scalar: Tensor | None = None  # [N]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One way to take an excerpt, and to read it."""

    take: Callable[[Tensor, int, torch.Generator], Excerpt]  # of log-probabilities [N, V]
    known: Callable[[Excerpt, int], Known]
    counts: bool = False  # whether excerpts have them; then tokens differ in how many ids they have
    scalar: bool = False

    def bytes_per_token(self, size: int, vocab_size: int) -> int:
        """What a token takes on disk; with counts, at most."""
        entry = id_bytes(vocab_size) + 2 + (count_bytes(size) if self.counts else 0)
        return min(size, vocab_size) * entry + 2 * self.scalar + 2 * self.counts


def load_form(name: str) -> Form:
    """The form of that name.

    Raises:
        UsageError: if there is no such excerpt.
    """
    return cast(Form, load_part(__name__, name, "form"))


def id_bytes(vocab_size: int) -> int:
    """2 for up to 65,536 ids, else 4."""
    return 2 if vocab_size <= 1 << 16 else 4


def count_bytes(size: int) -> int:
    """1 for up to 255 draws, else 2 (up to 65,535)."""
    return 1 if size < 1 << 8 else 2
