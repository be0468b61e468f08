"""What a student reaches without a teacher, by its size and its tokens.

L̃(N, D) = E + (A/N^α + B/D^β)^γ, the supervised law inside the distillation law (Busbridge et al.,
2025, arXiv:2502.08606, section 4.1). With γ = 1 it is the Chinchilla law (Hoffmann et al., 2022).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raydistill.laws.points import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentSurface:
    """The six numbers of L̃(N, D), in nats per token."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    gamma: float = 1.0

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> FloatArray:
        """Nats per token of a model with `params` parameters after `tokens` tokens."""
        size, budget = np.asarray(params, np.float64), np.asarray(tokens, np.float64)
        inner = self.A / size**self.alpha + self.B / budget**self.beta
        return np.asarray(self.E + inner**self.gamma)

    def tokens_for(self, params: float, loss: float) -> float:
        """The tokens after which a model of `params` parameters has `loss`; inf if it never has."""
        if loss <= self.E:
            return math.inf
        by_tokens = (loss - self.E) ** (1 / self.gamma) - self.A / params**self.alpha
        return (self.B / by_tokens) ** (1 / self.beta) if by_tokens > 0 else math.inf
