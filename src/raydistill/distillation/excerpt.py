"""Excerpts of a teacher's distribution: some ids of each token, and their weights.

An excerpt is a file of `distillation/excerpts/` that defines `form`: how to take `size` ids from
a distribution, and what a loss then knows of it. Shapes: N tokens, V vocabulary, S ids taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from raydistill.core.parts import EXCERPT, load_part
from raydistill.distillation.divergence import SparseTeacher
from raydistill.distillation.teacher_placement import Layout


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The distributions of N tokens, as far as they are written."""

    ids: Tensor  # int64 [N, S], the first of a token never padding
    log_p: Tensor  # [N, S]
    counts: Tensor | None = None  # [N, S], how often each was drawn; 0 is padding, not written
    scalar: Tensor | None = None  # [N]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One way to take an excerpt, and to read it."""

    take: Callable[[Tensor, int, torch.Generator], Excerpt]  # of log-probabilities [N, V]
    known: Callable[[Excerpt, int], SparseTeacher]
    counts: bool = False  # whether excerpts have them; then the number of ids varies by token
    scalar: bool = False

    @property
    def layout(self) -> Layout:
        """The layout on disk."""
        return Layout(counts=self.counts, scalar=self.scalar)


def load_form(name: str) -> Form:
    """The form of that name.

    Raises:
        UsageError: if there is no such excerpt.
    """
    return cast(Form, load_part(EXCERPT, name, "form"))
