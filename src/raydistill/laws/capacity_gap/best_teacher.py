"""The best teacher of one student: where a parabola in the teacher's log size is lowest (METHOD 8).

The parabola is fitted within ±4× of its own minimum, as wider windows bias it; its interval is that
of data seeds and documents, as everywhere in this project. How far ±2× and ±8× move it is told.

Arrays `…_R` hold the measured value first and one value per resample after it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raydistill.laws.fit import Estimate
from raydistill.laws.minima import WINDOW
from raydistill.laws.points import FloatArray

OTHER_WINDOWS = (2.0, 8.0)  # that its shift is shown for
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherCurve:
    """One student's loss by the size of its teacher, at one age of the teachers.

    Attributes:
        student: its name.
        size: its parameters.
        teachers: their names, ascending in size.
        sizes_N: their parameters.
        losses_RN: the student's nats per token with each, paired over resamples.
    """

    student: str
    size: float
    teachers: tuple[str, ...]
    sizes_N: FloatArray
    losses_RN: FloatArray

    @property
    def best(self) -> int:
        """The teacher with the lowest measured loss; the smallest, if several have it."""
        return int(np.argmin(self.losses_RN[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class BestTeacher:
    """The best teacher's size for one student.

    Attributes:
        student: its name.
        size: its parameters.
        teacher: parameters of its best teacher, or None without a parabola.
        teacher_R: the same in every resample; empty without a parabola.
        shifts: by window, the minimum there over that of `WINDOW`, minus 1; NaN without one.
        outside: why the minimum is not interior; empty if it is.
        grid: parameters of the teachers tried but for the smallest and the largest.
    """

    student: str
    size: float
    teacher: Estimate | None
    teacher_R: FloatArray
    shifts: Mapping[float, float]
    outside: str
    grid: FloatArray

    @property
    def is_interior(self) -> bool:
        """Whether the interval of the minimum lies between the sizes that were tried."""
        return not self.outside


def best_teacher(curve: TeacherCurve) -> BestTeacher:
    """The minimum of one student's curve, its interval, and whether it is interior."""
    order = np.argsort(curve.sizes_N)
    sizes_N, losses_RN = curve.sizes_N[order], curve.losses_RN[:, order]
    minimum = parabola_minimum(sizes_N, losses_RN, WINDOW)
    others = {window: parabola_minimum(sizes_N, losses_RN, window) for window in OTHER_WINDOWS}
    return BestTeacher(
        student=curve.student,
        size=curve.size,
        teacher=None if minimum is None else estimate_of(minimum.teacher_R),
        teacher_R=np.empty(0) if minimum is None else minimum.teacher_R,
        shifts={
            window: other.teacher_R[0] / minimum.teacher_R[0] - 1 if minimum and other else math.nan
            for window, other in others.items()
        },
        outside=_outside(losses_RN, minimum),
        grid=sizes_N[1:-1],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Minimum:
    """Where a parabola is lowest in every resample, between `low` and `high`, its end sizes."""

    teacher_R: FloatArray
    low: float
    high: float


def parabola_minimum(sizes_N: FloatArray, losses_RN: FloatArray, window: float) -> Minimum | None:
    """The lowest place of the parabola in log size of the teachers within `window` times of it.

    Its window is laid as in `minima.fit_minimum`, by the losses as measured, and is the same in all
    resamples. None with fewer than three sizes in it. A parabola that opens downward is lowest at
    one of its ends, and none is lowest outside of them.
    """
    log_N, centre = np.log(sizes_N), float(np.log(sizes_N[np.argmin(losses_RN[0])]))
    inside = np.abs(log_N - centre) <= math.log(window) + 1e-9
    for _ in range(len(sizes_N)):
        if len(np.unique(log_N[inside])) < 3:
            return None
        lowest_R, is_vertex = _lowest(log_N[inside] - centre, losses_RN[:, inside])
        moved = np.abs(log_N - centre - lowest_R[0]) <= math.log(window) + 1e-9
        if not is_vertex or (moved == inside).all() or len(np.unique(log_N[moved])) < 3:
            break
        inside = moved
    teacher_R: FloatArray = np.exp(centre + lowest_R)
    return Minimum(
        teacher_R=teacher_R, low=float(sizes_N[inside][0]), high=float(sizes_N[inside][-1])
    )


def _lowest(x_N: FloatArray, losses_RN: FloatArray) -> tuple[FloatArray, bool]:
    """Where the least squares' parabola is lowest, and whether that is its vertex as measured."""
    bend_R, tilt_R, _ = np.linalg.pinv(np.vander(x_N, 3)) @ (losses_RN - losses_RN[:, :1]).T
    low, high = x_N.min(), x_N.max()
    falls_R = bend_R * high**2 + tilt_R * high < bend_R * low**2 + tilt_R * low
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex_R = -tilt_R / (2 * bend_R)
    lowest_R = np.where(bend_R > 0, np.clip(vertex_R, low, high), np.where(falls_R, high, low))
    return lowest_R, bool(bend_R[0] > 0 and low < vertex_R[0] < high)


def _outside(losses_RN: FloatArray, minimum: Minimum | None) -> str:
    """Why a minimum is not interior; empty if it is."""
    best, teachers = int(np.argmin(losses_RN[0])), losses_RN.shape[1]
    if teachers >= 3 and best in (0, teachers - 1):
        return f"the {'largest' if best else 'smallest'} teacher has the lowest loss"
    if minimum is None:
        return f"fewer than three teachers within ±{WINDOW:g}× of the best"
    teacher = estimate_of(minimum.teacher_R)
    reached = {
        "smallest": teacher.low <= minimum.low * (1 + 1e-9),
        "largest": teacher.high >= minimum.high * (1 - 1e-9),
    }
    ends = " and the ".join(end for end, is_reached in reached.items() if is_reached)
    return f"the interval of the minimum reaches the {ends} teacher near it" if ends else ""


def estimate_of(values_R: FloatArray) -> Estimate:
    """The measured value and the percentile interval of the resamples."""
    finite_R = values_R[1:][np.isfinite(values_R[1:])]
    low, high = np.quantile(finite_R if len(finite_R) else values_R[:1], [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(value=float(values_R[0]), low=float(low), high=float(high))
