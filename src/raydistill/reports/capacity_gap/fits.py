"""The fits behind a law of capacity gap, as a storage keeps them (`laws/stored.py`)."""

from collections.abc import Iterator
from dataclasses import replace

from raydistill.core.errors import UsageError
from raydistill.laws.capacity_gap.verdict import FORM, law_points
from raydistill.laws.fit import Fit
from raydistill.laws.fitting import fit
from raydistill.laws.minima import fit_minimum
from raydistill.laws.points import Exclusion, Points
from raydistill.reports.capacity_gap.findings import (
    UNCUT,
    CapacityGapFindings,
    GroupFindings,
    StudentFindings,
)
from raydistill.reports.capacity_gap.students import Lesson


def fits(findings: CapacityGapFindings) -> Iterator[Fit]:
    """Of each group its interior minima, over trials, then the line through them, over students.

    The first group comes last, so that its line is the newest. Minima without enough teachers
    near them, and lines without enough minima, have no fit.
    """
    for group in reversed(findings.groups):
        for student in group.students:
            if student.minimum.is_interior:
                try:
                    yield fit_minimum(_trials(student))
                except UsageError:  # three teachers: a parabola without scatter
                    continue
        try:
            yield fit(FORM, _students(group))
        except UsageError:  # fewer than three minima
            continue


def _trials(of: StudentFindings) -> Points:
    """A student's losses by its teachers' sizes; each point is named with its trials.

    Without resamples, as in `law_points`.
    """
    on_curve = [lesson.teacher for lesson in of.oldest]
    return Points(
        inputs={"x": of.curve.sizes_N},
        outputs=of.curve.losses_RN[0],
        names=tuple(_name(of, lesson) for lesson in of.oldest),
        excluded=tuple(
            Exclusion(name=_name(of, lesson), reason=_why_not(lesson))
            for lesson in of.student.lessons
            if lesson.teacher not in on_curve
        ),
    )


def _name(of: StudentFindings, lesson: Lesson) -> str:
    trials = " ".join(cell.trial_id for cell in lesson.cells)
    return f"{of.student.name} by {lesson.teacher}: {trials}"


def _why_not(lesson: Lesson) -> str:
    if lesson.is_uncut:
        return UNCUT
    return "a younger teacher" if lesson.runs else "no trial was finished"


def _students(group: GroupFindings) -> Points:
    """The minima, each named by its student and how that began."""
    points = law_points(group.law.students)
    return replace(
        points,
        names=tuple(f"{name}, start {group.name}" for name in points.names),
        excluded=tuple(
            replace(one, name=f"{one.name}, start {group.name}") for one in points.excluded
        ),
    )
