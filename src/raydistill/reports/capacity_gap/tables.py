"""The tables of students by teachers: the best teachers, every loss, and sentences on both."""

import math
from collections.abc import Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Missing
from raydistill.laws.capacity_gap.best_teacher import OTHER_WINDOWS, BestTeacher
from raydistill.laws.minima import WINDOW
from raydistill.laws.published import CAPACITY_GAP
from raydistill.reports.capacity_gap.findings import (
    BESIDE,
    EQUAL_FLOPS,
    CapacityGapFindings,
    GroupFindings,
    StudentFindings,
)
from raydistill.reports.capacity_gap.sentences import rounded, sentences
from raydistill.reports.tables.footnotes import BEST
from raydistill.reports.tables.grids import ABSENT, Section, with_interval

NAMED = 2  # teachers of a best set, at most
NUMBERS = "capacity-gap.csv"  # the file of `numbers`


def capacity_gap_tables(findings: CapacityGapFindings, *, small_scale: bool) -> list[Section]:
    """For each way to begin: the best teachers with the verdict, what stands beside, every loss."""
    return [
        table
        for group in findings.groups
        for table in (
            _best_teachers(group, small_scale=small_scale),
            _beside(group),
            _losses(group, findings),
        )
    ]


def _best_teachers(group: GroupFindings, *, small_scale: bool) -> Section:
    return Section(
        title=f"Law of capacity gap, start {group.name}: {group.law.verdict}. The best teacher T* "
        f"of each student, by a parabola in log size within ±{WINDOW:g}×; in brackets where it is "
        "not between the teachers tried",
        headers=(
            *("student", "parameters", "not told apart from the best", "T*, parameters"),
            *(f"at ±{window:g}×, shift" for window in OTHER_WINDOWS),
            *("by our line", "as published"),
        ),
        rows=tuple(
            (
                of.student.name,
                format_tokens(of.student.size),
                _tied(of),
                _minimum(of.minimum),
                *(_shift(of.minimum.shifts[window]) for window in OTHER_WINDOWS),
                _teacher(group.law.teacher(of.student.size)),
                _teacher(CAPACITY_GAP.teacher_params(of.student.size)),
            )
            for of in group.students
        ),
        words=sentences(group, small_scale=small_scale),
    )


def _beside(group: GroupFindings) -> Section:
    return Section(
        title="Nats per token above the best teacher of each student, start "
        f"{group.name}; ! told apart from it (Holm, 5 %). Equal FLOPs: above the teacher of these",
        headers=("student", "its best teacher", *BESIDE),
        rows=tuple(
            (of.student.name, of.best.teacher, *(_above(of, what) for what in BESIDE))
            for of in group.students
        ),
    )


def _tied(of: StudentFindings) -> str:
    """The models of the best set; how many, where it has several: the table of losses has them."""
    models = [lesson.model for lesson in of.oldest if lesson.teacher in of.tied]
    return ", ".join(models) if len(models) <= NAMED else f"{len(models)} of {len(of.oldest)}"


def _minimum(minimum: BestTeacher) -> str:
    """T* with its interval; in brackets where it is not interior."""
    if minimum.teacher is None:
        return ABSENT
    value, low, high = (
        rounded(n) for n in (minimum.teacher.value, minimum.teacher.low, minimum.teacher.high)
    )
    text = f"{value} [{low} {high}]"
    return text if minimum.is_interior else f"({text})"


def _teacher(params: float | None) -> str:
    return ABSENT if params is None or params <= 0 else rounded(params)


def _shift(share: float) -> str:
    return ABSENT if math.isnan(share) else f"{round(100 * share, 1) + 0.0:+.1f} %"


def _above(of: StudentFindings, what: str) -> str:
    excess = of.beside.get(what)
    if excess is None:
        return ABSENT
    is_another = what == EQUAL_FLOPS and of.flops_teacher != of.best.teacher
    by = f" ({of.flops_teacher})" if is_another else ""
    return f"{with_interval(excess.nats, 3)}{' !' * bool(excess.sign)}{by}"


def _losses(group: GroupFindings, findings: CapacityGapFindings) -> Section:
    """Teachers by students: the student's nats per token, beside the teacher's own."""
    sizes = {
        lesson.teacher: (lesson.teacher_size, lesson.age)
        for of in group.students
        for lesson in of.student.lessons
    }
    teachers = sorted(sizes, key=lambda name: (sizes[name], name))
    return Section(
        title=f"Nats per token of every student by its teacher, start {group.name}; {BEST} not "
        "distinguishable from the best teacher of its column, among the oldest of each size (Holm)",
        headers=(
            *("teacher", "its parameters", "its own nats"),
            *(of.student.name for of in group.students),
        ),
        rows=tuple(
            (
                name,
                format_tokens(sizes[name][0]),
                _loss(findings.teacher_losses.get(name)),
                *(_cell(of, name) for of in group.students),
            )
            for name in teachers
        ),
    )


def _loss(nats: float | None) -> str:
    return ABSENT if nats is None else f"{nats:.3f}"


def _cell(of: StudentFindings, teacher: str) -> str:
    entry = of.losses.get(teacher, Missing(reason=""))
    return with_interval(entry, 3, best=teacher in of.tied, signed=False)


def numbers(sweeps: Sequence[CapacityGapFindings]) -> Section:
    """Every loss and minimum as plain numbers, a line a student and teacher, for a spreadsheet."""
    names = (
        *("start", "verdict", "student", "student_parameters", "teacher", "teacher_parameters"),
        *("teacher_nll", "student_nll", "student_nll_low", "student_nll_high", "best"),
        *("best_teacher_parameters", "best_teacher_low", "best_teacher_high", "interior"),
    )
    rows = [
        tuple(map(str, row))
        for findings in sweeps
        for group in findings.groups
        for of in group.students
        for row in _numbers(group, of, findings)
    ]
    return Section(title="capacity gap", headers=names, rows=tuple(rows))


def _numbers(
    group: GroupFindings, of: StudentFindings, findings: CapacityGapFindings
) -> Sequence[Sequence[object]]:
    minimum = of.minimum.teacher
    place = ("", "", "") if minimum is None else (minimum.value, minimum.low, minimum.high)
    return [
        (
            *(group.name, group.law.verdict, of.student.name, of.student.size),
            *(lesson.teacher, lesson.teacher_size),
            findings.teacher_losses.get(lesson.teacher, ""),
            *(entry.value, entry.low, entry.high),
            lesson.teacher in of.tied,
            *place,
            of.minimum.is_interior,
        )
        for lesson in of.student.lessons
        if (entry := of.losses.get(lesson.teacher))
    ]
