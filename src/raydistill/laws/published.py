"""Laws as they are published, each with its source, and whether that source was confirmed.

They are drawn beside what was fitted here. Nothing is computed from them unless it is asked for.
"""

from dataclasses import dataclass

from raydistill.laws.distillation.student_surface import StudentSurface
from raydistill.laws.distillation.teacher_gap import TeacherGap


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacityGapLine:
    """T* = slope·S + intercept, the best teacher of a student, both in parameters."""

    slope: float
    intercept: float
    source: str

    def teacher_params(self, student_params: float) -> float:
        """The best teacher's parameters.

        >>> round(CAPACITY_GAP.teacher_params(3e9) / 1e6, 1)
        7482.5
        """
        return self.slope * student_params + self.intercept

    def student_params(self, teacher_params: float) -> float:
        """The student of whom that teacher is the best.

        >>> round(CAPACITY_GAP.student_params(6_738_416_000) / 1e6, 2)
        2702.13
        """
        return (teacher_params - self.intercept) / self.slope


CAPACITY_GAP = CapacityGapLine(
    slope=2.498,
    intercept=-11.498e6,
    source="Zhang et al., 2023, arXiv:2311.07052; the constants from a secondary source",
)

STUDENT_SURFACE = StudentSurface(E=1.220, A=3355.0, B=18186.0, alpha=0.408, beta=0.431, gamma=0.452)
STUDENT_SURFACE_SOURCE = (
    "Busbridge et al., 2025, arXiv:2502.08606; the constants from a secondary source"
)

TEACHER_GAP = TeacherGap(
    c0=2.549, c1=522.61, f1=0.090, d1=1.315,
    A=2243.0, B=24181.0, alpha=0.321, beta=0.637, gamma=0.764,
)  # fmt: skip
TEACHER_GAP_SOURCE = "Busbridge et al., 2025, arXiv:2502.08606; the constants are unconfirmed"


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenFront:
    """Loss over FLOPs of compute-optimal masked LMs, as two printed lines, L = factor·C^exponent.

    `break_flops` is where the paper says that the first one ends. Padding counts in its loss, so
    exponents and places compare with other ones, losses do not.
    """

    factor_below: float
    exponent_below: float
    factor_above: float
    exponent_above: float
    break_flops: float
    smallest_helped: float  # parameters of the smallest model that pretraining is said to help
    source: str


REDUCED_SCALE = BrokenFront(
    factor_below=79.2,
    exponent_below=-0.093,
    factor_above=382.0,
    exponent_above=-0.141,
    break_flops=2.2e15,
    smallest_helped=1_254_882,
    source="Deshpande et al., 2023, arXiv:2305.17266, figure 1",
)
