"""Laws as they are published, each with its source, and whether that source was confirmed.

They are drawn beside what was fitted here. Nothing is computed from them unless it is asked for.
"""

from dataclasses import dataclass


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
