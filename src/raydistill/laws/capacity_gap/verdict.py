"""Whether the best teacher's size follows the student's: the law of capacity gap (METHOD 8).

A law is a line T* = a·S + b through students whose minimum lies between the teachers tried. Never
by R²: on the paper's own design teachers drawn at random from the grid give 0.955 in the median,
so what counts is how often such teachers lie on a line as well as ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from raydistill.laws.capacity_gap.best_teacher import (
    LEVEL,
    BestTeacher,
    TeacherCurve,
    best_teacher,
    estimate_of,
)
from raydistill.laws.fit import Estimate
from raydistill.laws.fitting import fit
from raydistill.laws.forms.capacity_gap import INPUT
from raydistill.laws.points import Exclusion, FloatArray, Points

FORM = "capacity-gap"
LAW_STUDENTS, TREND_STUDENTS = 4, 2  # with an interior minimum
WIDEST_EXPONENT = 0.5  # the longest interval of the exponent that a law may have
NULL_DRAWS = 10_000
ROUNDING = 1e-9  # of points on a line to the digit

Word = Literal["law", "trend", "not supported"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacityGap:
    """The line through interior minima, and what it is worth.

    Attributes:
        students: every one, ascending in size.
        slope: of T* over S, both in parameters; None below two interior minima.
        intercept: in parameters.
        exponent: of T* over S on logarithms; a law T* = a·S has 1. None below three.
        null_p: the share of teachers drawn at random that lie on a line as well; None below three.
        verdict: by METHOD 8.
        undecided: what a law would need and this lacks, a sentence each.
    """

    students: tuple[BestTeacher, ...]
    slope: Estimate | None
    intercept: Estimate | None
    exponent: Estimate | None
    null_p: float | None
    verdict: Word
    undecided: tuple[str, ...]

    @property
    def interior(self) -> tuple[BestTeacher, ...]:
        """The students with an interior minimum."""
        return tuple(student for student in self.students if student.is_interior)

    def teacher(self, size: float) -> float | None:
        """The best teacher of a student of that size by the line; None without one."""
        if self.slope is None or self.intercept is None:
            return None
        return self.slope.value * size + self.intercept.value


def capacity_gap(curves: Sequence[TeacherCurve]) -> CapacityGap:
    """The line of T* over S and its verdict, from one curve a student.

    The intervals of slope, intercept and exponent are those of `fitting.fit`, by the students'
    scatter about the line. The p value compares the correlation of log T* and log S with that of
    teachers drawn at random, for each student among those tried but for the smallest and the
    largest, where no minimum is interior. Students of one size count once.
    """
    students = tuple(sorted(map(best_teacher, curves), key=lambda s: (s.size, s.student)))
    interior = [student for student in students if student.is_interior]
    sizes = {student.size for student in interior}
    slope = intercept = exponent = null_p = None
    if len(sizes) >= 2:
        points = law_points(students)
        slope, intercept = _line(points)
    if len(sizes) >= 3:
        exponent = fit("line", _in_logarithms(points)).parameters["slope"]
        null_p = _null_p(interior)
    undecided = tuple(_undecided(students, slope, exponent, null_p))
    is_trend = len(interior) >= TREND_STUDENTS and slope is not None and _rises(interior)
    return CapacityGap(
        students=students,
        slope=slope,
        intercept=intercept,
        exponent=exponent,
        null_p=null_p,
        verdict="law" if not undecided else "trend" if is_trend else "not supported",
        undecided=undecided,
    )


def _rises(interior: Sequence[BestTeacher]) -> bool:
    """Whether T* rises with S beyond what seeds and documents leave open."""
    size_N = np.array([student.size for student in interior])
    teacher_RN = np.stack([student.teacher_R for student in interior], axis=1)
    return estimate_of(teacher_RN @ (size_N - size_N.mean())).low > 0


def _undecided(
    students: Sequence[BestTeacher],
    slope: Estimate | None,
    exponent: Estimate | None,
    null_p: float | None,
) -> list[str]:
    """What a law needs and these students do not show."""
    by_reason: dict[str, list[str]] = {}
    for student in students:
        by_reason.setdefault(student.outside, []).append(student.student)
    by_reason.pop("", None)
    interior = {student.size for student in students if student.is_interior}
    lacks = []
    if len(interior) < LAW_STUDENTS:
        reasons = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
        why = f" ({'; '.join(reasons)})" if reasons else ""
        lacks.append(
            f"interior minima for {LAW_STUDENTS} students, here {len(interior)} of "
            f"{len(students)}{why}"
        )
    if slope is not None and exponent is not None and not slope.low > 0:
        lacks.append(f"a slope above 0, here {_text(slope)}")
    if exponent is not None and not exponent.low - ROUNDING <= 1 <= exponent.high + ROUNDING:
        lacks.append(f"an exponent of 1, here {_text(exponent)}")
    if exponent is not None and not exponent.high - exponent.low < WIDEST_EXPONENT:
        lacks.append(f"an exponent known to less than {WIDEST_EXPONENT:g}, here {_text(exponent)}")
    if null_p is not None and not null_p < LEVEL:
        lacks.append(f"a line that teachers drawn at random seldom make, here p = {null_p:.2g}")
    return lacks


def _text(of: Estimate) -> str:
    return f"{of.value:.3g} [{of.low:.3g} {of.high:.3g}]"


def law_points(students: Sequence[BestTeacher]) -> Points:
    """Students by their best teachers, for the form of the law; those without a minimum left out.

    Without resamples: those of two or three data seeds have Student's tails, and no covariance.
    What seeds do to T* is in its scatter about the line.
    """
    interior = [student for student in students if student.is_interior]
    return Points(
        inputs={INPUT: np.array([student.size for student in interior])},
        outputs=np.array([student.teacher_R[0] for student in interior]),
        names=tuple(student.student for student in interior),
        excluded=tuple(
            Exclusion(name=student.student, reason=student.outside)
            for student in students
            if student.outside
        ),
    )


def _line(points: Points) -> tuple[Estimate, Estimate]:
    """Slope and intercept; two points do not tell their intervals."""
    if len(points) > 2:
        parameters = fit(FORM, points).parameters
        return parameters["slope"], parameters["intercept"]
    slope, intercept = np.polyfit(points.inputs[INPUT], points.outputs, 1).tolist()
    return (
        Estimate(value=slope, low=-math.inf, high=math.inf),
        Estimate(value=intercept, low=-math.inf, high=math.inf),
    )


def _in_logarithms(points: Points) -> Points:
    """Of sizes over the smallest student's; the form `line` needs an input above 0."""
    unit = points.inputs[INPUT].min()
    return replace(
        points,
        inputs={"x": 1 + np.log(points.inputs[INPUT] / unit)},
        outputs=np.log(points.outputs / unit),
    )


def _null_p(interior: Sequence[BestTeacher]) -> float:
    """How often teachers drawn at random from the grid correlate with students as ours do.

    Each draw is held against ours in another resample: on a grid so coarse that it leaves nothing
    to draw, noise alone would else decide.
    """
    log_S = np.log([student.size for student in interior])
    random = np.random.default_rng(0)
    drawn_DS = np.stack(
        [np.log(random.choice(student.grid, size=NULL_DRAWS)) for student in interior], axis=1
    )
    ours_RS = np.log(np.stack([student.teacher_R[1:] for student in interior], axis=1))
    ours_D = random.choice(_correlations(log_S, ours_RS), size=NULL_DRAWS)
    as_well = np.count_nonzero(_correlations(log_S, drawn_DS) >= ours_D - 1e-9)
    return float((1 + as_well) / (1 + NULL_DRAWS))


def _correlations(x_S: FloatArray, y_DS: FloatArray) -> FloatArray:
    """Of `x_S` with every row; 0 for a row of equal values."""
    x_S = x_S - x_S.mean()
    y_DS = y_DS - y_DS.mean(axis=1, keepdims=True)
    norms_D = np.linalg.norm(x_S) * np.linalg.norm(y_DS, axis=1)
    found_D: FloatArray = np.divide(
        y_DS @ x_S, norms_D, out=np.zeros(len(y_DS)), where=norms_D > 1e-12
    )
    return found_D
