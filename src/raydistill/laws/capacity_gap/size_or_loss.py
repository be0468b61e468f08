"""Whether a teacher's size matters to its student once the teacher's loss is known (METHOD 8).

The law of capacity gap speaks of the teacher's size, the distillation law (2502.08606) of its loss.
Ages of one pretraining run are teachers of one size and several losses: they alone tell the two
apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raydistill.laws.points import FloatArray
from raydistill.laws.search.profile import quantile

FEWEST_SIZES = 3

Answer = Literal["size matters too", "loss is enough", "not told apart"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherGrid:
    """M students that each learned from the same n teachers.

    Attributes:
        losses_Mn: of the students, nats per token.
        teacher_losses_n: of the teachers.
        teacher_sizes_n: their parameters.
    """

    losses_Mn: FloatArray
    teacher_losses_n: FloatArray
    teacher_sizes_n: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeOrLoss:
    """Two nested fits of the students' losses, by how well they predict a teacher left out.

    Attributes:
        by_loss: root mean square error in nats, of the teacher's loss and its square.
        with_size: the same with the logarithm of the teacher's size too.
        gain: nats² that size saves, a mean over sizes, and its 95 % interval over sizes.
        teachers: how many there are.
    """

    by_loss: float
    with_size: float
    gain: tuple[float, float, float]
    teachers: int

    @property
    def answer(self) -> Answer:
        """By the interval of the gain; a size that saves nothing does not matter."""
        value, low, _ = self.gain
        if low > 0:
            return "size matters too"
        return "loss is enough" if value <= 0 else "not told apart"


def size_or_loss(grid: TeacherGrid) -> SizeOrLoss | None:
    """Both fits, with one teacher left out at a time; None where they cannot be told apart.

    That is with fewer than three sizes, or with one age a size. Each student has its own level and
    slope over the teacher's loss; the bend and what size adds are shared.
    """
    sizes_n, losses_n = grid.teacher_sizes_n, grid.teacher_losses_n
    sizes = np.unique(sizes_n)
    if len(sizes) < FEWEST_SIZES or len(sizes_n) < max(6, len(sizes) + 1):
        return None
    loss_n, size_n = _standard(losses_n), _standard(np.log(sizes_n))
    by_loss_n = _left_out(grid.losses_Mn, loss_n, [loss_n**2])
    with_size_n = _left_out(grid.losses_Mn, loss_n, [loss_n**2, size_n])
    saved = [float(np.mean((by_loss_n - with_size_n)[sizes_n == size])) for size in sizes]
    error = quantile(len(saved) - 1) * float(np.std(saved, ddof=1)) / math.sqrt(len(saved))
    gain = float(np.mean(saved))
    return SizeOrLoss(
        by_loss=math.sqrt(np.mean(by_loss_n)),
        with_size=math.sqrt(np.mean(with_size_n)),
        gain=(gain, gain - error, gain + error),
        teachers=len(sizes_n),
    )


def _standard(values: FloatArray) -> FloatArray:
    centred: FloatArray = (values - values.mean()) / values.std()
    return centred


def _left_out(
    losses_Mn: FloatArray, loss_n: FloatArray, shared: Sequence[FloatArray]
) -> FloatArray:
    """The squared error for each teacher, a mean over students, of the fit to all others (n,)."""
    students, n = losses_Mn.shape
    own = np.eye(students)
    columns = [np.kron(own, np.ones((n, 1))), np.kron(own, loss_n[:, None])]
    columns += [np.tile(column, students)[:, None] for column in shared]
    design, outputs = np.hstack(columns), losses_Mn.ravel()
    teacher = np.tile(np.arange(n), students)
    errors = []
    for left_out in range(n):
        kept = teacher != left_out
        solution, *_ = np.linalg.lstsq(design[kept], outputs[kept], rcond=None)
        errors.append(np.mean((outputs[~kept] - design[~kept] @ solution) ** 2))
    return np.array(errors)
