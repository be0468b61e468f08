"""The fits behind a law of capacity gap, as a storage keeps them (`laws/stored.py`)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from raydistill.core.errors import UsageError
from raydistill.laws.capacity_gap.verdict import FORM, law_points
from raydistill.laws.fit import Fit
from raydistill.laws.fitting import fit
from raydistill.laws.minima import fit_minimum
from raydistill.laws.points import Exclusion, Points
from raydistill.reports.capacity_gap.findings import (
    CapacityGapFindings,
    GroupFindings,
    StudentFindings,
)
from raydistill.reports.results.cells import ReportCell


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
    """A student's losses by its teachers' sizes; each point is named by its trials."""
    names = [lesson.teacher for lesson in of.oldest]
    return Points(
        inputs={"x": of.curve.sizes_N},
        outputs=of.curve.losses_RN[0],
        names=tuple(_ids(lesson.cells) for lesson in of.oldest),
        excluded=tuple(
            Exclusion(
                name=_ids(lesson.cells),
                reason="a younger teacher" if lesson.runs else "no trial was finished",
            )
            for lesson in of.student.lessons
            if lesson.teacher not in names
        ),
        samples_RN=of.curve.losses_RN,
    )


def _ids(cells: Sequence[ReportCell]) -> str:
    return " ".join(cell.trial_id for cell in cells)


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
