"""How far a distilled student stays above its teacher (Busbridge et al., 2025, equation 8).

    L_S = L_T + L_T^(−c0) · (1 + (L_T/(L̃_S·d1))^(1/f1))^(−c1·f1) · (A/N_S^α + B/D_S^β)^γ

with L_T the teacher's loss and L̃_S what the student reaches without a teacher. The gap follows the
teacher's loss against the student's own, and the teacher's size only through that loss.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raydistill.laws.points import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherGap:
    """The nine numbers of the gap, L_S − L_T in nats per token; A to gamma are primed there."""

    c0: float
    c1: float
    f1: float
    d1: float
    A: float
    B: float
    alpha: float
    beta: float
    gamma: float

    def student_loss(
        self,
        student_params: ArrayLike,
        student_tokens: ArrayLike,
        teacher_loss: ArrayLike,
        student_alone: ArrayLike,
    ) -> FloatArray:
        """The distilled student's nats per token.

        Args:
            student_params: N_S, without embeddings.
            student_tokens: D_S.
            teacher_loss: L_T, nats per token.
            student_alone: L̃_S, nats per token.
        """
        size, budget = (
            np.asarray(student_params, np.float64),
            np.asarray(student_tokens, np.float64),
        )
        reach = (self.A / size**self.alpha + self.B / budget**self.beta) ** self.gamma
        teacher = np.asarray(teacher_loss, np.float64)
        alone = np.asarray(student_alone, np.float64)
        return teacher + reach * relative_gap(teacher, alone, self.c0, self.c1, self.f1, self.d1)


def relative_gap(
    teacher: FloatArray, alone: FloatArray, c0: float, c1: float, f1: float, d1: float
) -> FloatArray:
    """The two factors of the gap that the teacher's loss decides, without overflow."""
    log_ratio = np.log(teacher / (alone * d1))
    return np.asarray(np.exp(-c0 * np.log(teacher) - c1 * f1 * np.logaddexp(0.0, log_ratio / f1)))
