"""What a sweep of students by teachers finds: curves, minima, line, verdict, anchors (METHOD 8)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from raydistill.evaluation.bootstrap import DocumentScores, Estimate, PairedBootstrap, estimate
from raydistill.evaluation.performance_drops import Runs, mean_nll
from raydistill.laws.capacity_gap.best_teacher import BestTeacher, TeacherCurve
from raydistill.laws.capacity_gap.size_or_loss import SizeOrLoss, TeacherGrid, size_or_loss
from raydistill.laws.capacity_gap.verdict import CapacityGap, capacity_gap
from raydistill.reports.capacity_gap.students import (
    Lesson,
    Student,
    TaughtGroup,
    taught_students,
)
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.comparison import (
    Excess,
    Losses,
    excesses,
    failure_reason,
    tied_by_loss,
)
from raydistill.specs.results import TrialFailure

LARGEST, OWN_SIZE = "the largest teacher", "a teacher of its own size"
FREE, EQUAL_FLOPS = "no teacher, equal tokens", "no teacher, equal FLOPs"
NO_TEACHER = "no teachers finished on one data seed"
UNCUT = "nothing is cut from a teacher of its own size"
BESIDE = (LARGEST, OWN_SIZE, FREE, EQUAL_FLOPS)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentFindings:
    """One student: its losses, its best teacher, and what stands beside that.

    Attributes:
        student: with its lessons.
        losses: nats per token with each teacher, by its name, on the data seeds of all.
        oldest: the lessons of its curve: one a size of teacher.
        tied: names of those teachers not distinguishable from the best (Holm).
        curve: of the oldest.
        minimum: of the curve.
        beside: by name in `BESIDE`, how many nats that ends above the best teacher; on equal FLOPs
            above `flops_teacher`, which those FLOPs are of.
    """

    student: Student
    losses: Mapping[str, Estimate]
    oldest: tuple[Lesson, ...]
    tied: frozenset[str]
    curve: TeacherCurve
    minimum: BestTeacher
    beside: Mapping[str, Excess]
    flops_teacher: str

    @property
    def best(self) -> Lesson:
        """That with the lowest loss."""
        return self.oldest[self.curve.best]

    @property
    def above_best(self) -> tuple[Estimate, ...]:
        """Nats per token above the best teacher, with each of the oldest; paired."""
        losses_RN = self.curve.losses_RN
        above_NR = (losses_RN - losses_RN[:, self.curve.best, None]).T
        entries = [estimate(above_R, "not a number") for above_R in above_NR]
        return tuple(entry for entry in entries if isinstance(entry, Estimate))


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupFindings:
    """Students that begin alike.

    Attributes:
        name: how they begin.
        students: those that learned from a teacher, ascending in size.
        law: of their minima, by all parameters.
        law_of_blocks: the same by the parameters of blocks alone.
        size_or_loss: None where the teachers do not tell.
        left_out: why a student or a lesson is in no fit, by its name.
    """

    name: str
    students: tuple[StudentFindings, ...]
    law: CapacityGap
    law_of_blocks: CapacityGap
    size_or_loss: SizeOrLoss | None
    left_out: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacityGapFindings:
    """All groups of a sweep, and its teachers' own losses in nats per token, by name."""

    groups: tuple[GroupFindings, ...]
    teacher_losses: Mapping[str, float]


def capacity_gap_findings(report: SweepReport) -> CapacityGapFindings:
    """What the sweep of a report finds; no group where it crosses no sizes with teachers."""
    taught = taught_students(report)
    losses = {name: scores.nll.value for name, scores in taught.teachers.items()}
    groups = [_group(group, losses) for group in taught.groups]
    return CapacityGapFindings(groups=tuple(filter(None, groups)), teacher_losses=losses)


def _group(group: TaughtGroup, teacher_losses: Mapping[str, float]) -> GroupFindings | None:
    """None where no student has a teacher to tell of."""
    bootstrap = PairedBootstrap.over(_runs(group))
    oldest = _oldest_teachers(group)
    compared = [of for s in group.students if (of := _compared(s, oldest, bootstrap)) is not None]
    if not compared:
        return None
    law = capacity_gap([of.curve for of in compared])
    minima = {minimum.student: minimum for minimum in law.students}
    beside = excesses(dict(_beside(compared)))
    names = [of.student.name for of in compared]
    few = {s.name: NO_TEACHER for s in group.students if s.name not in names}
    return GroupFindings(
        name=group.name,
        students=tuple(
            StudentFindings(
                student=of.student,
                losses=of.losses,
                oldest=of.oldest,
                tied=tied_by_loss({lesson.teacher: lesson.runs for lesson in of.oldest}),
                curve=of.curve,
                minimum=minima[of.student.name],
                beside={
                    what: beside[key]
                    for what in BESIDE
                    if (key := _pair_name(of.student, what)) in beside
                },
                flops_teacher=of.flops_lesson.teacher,
            )
            for of in compared
        ),
        law=law,
        law_of_blocks=capacity_gap([_of_blocks(of) for of in compared if of.student.blocks > 0]),
        size_or_loss=_size_or_loss([of.student for of in compared], teacher_losses),
        left_out=few | dict(_left_out(group)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """A student whose teachers share data seeds; fields as in `StudentFindings`."""

    student: Student
    losses: Mapping[str, Estimate]
    oldest: tuple[Lesson, ...]
    curve: TeacherCurve

    @property
    def best(self) -> Lesson:
        """That with the lowest loss."""
        return self.oldest[self.curve.best]

    @property
    def flops_lesson(self) -> Lesson:
        """Whose FLOPs an anchor has: the best teacher's, else the largest one's that has any."""
        anchored = [of for of in self.oldest if self.student.equal_flops.get(of.teacher)]
        return self.best if self.best in anchored or not anchored else anchored[-1]


def _compared(
    student: Student, oldest_teachers: frozenset[str], bootstrap: PairedBootstrap
) -> _Compared | None:
    finished = [lesson for lesson in student.lessons if lesson.runs]
    seeds = sorted(set.intersection(*(set(of.runs) for of in finished))) if finished else []
    oldest = tuple(
        lesson for lesson in finished if lesson.teacher in oldest_teachers and not lesson.is_uncut
    )
    if not oldest or not seeds:
        return None
    losses_R = {
        lesson.teacher: mean_nll({seed: lesson.runs[seed] for seed in seeds}, bootstrap)
        for lesson in finished
    }
    entries = {name: estimate(loss_R, "not a number") for name, loss_R in losses_R.items()}
    losses = {name: entry for name, entry in entries.items() if isinstance(entry, Estimate)}
    oldest = tuple(lesson for lesson in oldest if lesson.teacher in losses)
    if not oldest:
        return None
    curve = TeacherCurve(
        student=student.name,
        size=student.size,
        teachers=tuple(lesson.teacher for lesson in oldest),
        sizes_N=np.array([float(lesson.teacher_size) for lesson in oldest]),
        losses_RN=np.stack([losses_R[lesson.teacher] for lesson in oldest], axis=1),
    )
    return _Compared(student=student, losses=losses, oldest=oldest, curve=curve)


def _oldest_teachers(group: TaughtGroup) -> frozenset[str]:
    """Of each size its oldest age, whichever students have it: a curve has no younger ones."""
    lessons = [lesson for student in group.students for lesson in student.lessons]
    by_model = {of.model: of.teacher for of in sorted(lessons, key=lambda lesson: lesson.age)}
    return frozenset(by_model.values())


def _of_blocks(of: _Compared) -> TeacherCurve:
    blocks_N = np.array([float(lesson.teacher_blocks) for lesson in of.oldest])
    return replace(of.curve, size=float(of.student.blocks), sizes_N=blocks_N)


def _runs(group: TaughtGroup) -> Iterator[DocumentScores]:
    for student in group.students:
        for lesson in student.lessons:
            yield from lesson.runs.values()


def _left_out(group: TaughtGroup) -> Iterator[tuple[str, str]]:
    for student in group.students:
        for lesson in student.lessons:
            if lesson.is_uncut:
                yield f"{student.name} by {lesson.teacher}", UNCUT
            for cell in lesson.cells:
                if isinstance(cell.outcome, TrialFailure):
                    name = f"{student.name} by {lesson.teacher}, data seed {cell.train.seed}"
                    yield name, failure_reason(cell.outcome)


def _beside(compared: Sequence[_Compared]) -> Iterator[tuple[str, tuple[Losses, Losses]]]:
    """What each student's best teacher is compared with, and on equal FLOPs the one of these."""
    for of in compared:
        student, best, same_flops = of.student, of.best.runs, of.flops_lesson
        own_size = [of.runs for of in student.lessons if of.teacher_size == student.size]
        others: dict[str, tuple[Runs, Runs]] = {
            LARGEST: (best, of.oldest[-1].runs if len(of.oldest) > 1 else {}),
            OWN_SIZE: (best, own_size[-1] if own_size else {}),
            FREE: (best, student.free),
            EQUAL_FLOPS: (same_flops.runs, student.equal_flops.get(same_flops.teacher, {})),
        }
        for what, (before, after) in others.items():
            if after:
                yield _pair_name(student, what), (Losses(runs=before), Losses(runs=after))


def _pair_name(student: Student, what: str) -> str:
    return f"{student.name}: {what}"


def _size_or_loss(
    students: Sequence[Student], teacher_losses: Mapping[str, float]
) -> SizeOrLoss | None:
    """By the teachers that all students have in common and whose own loss was measured."""
    means = [
        {
            of.teacher: fmean(run.nll.value for run in of.runs.values())
            for of in s.lessons
            if of.runs
        }
        for s in students
    ]
    sizes = {lesson.teacher: lesson.teacher_size for s in students for lesson in s.lessons}
    shared = set.intersection(*map(set, means)) & teacher_losses.keys()
    teachers = sorted(shared, key=lambda name: (sizes[name], name))
    if not teachers:
        return None
    return size_or_loss(
        TeacherGrid(
            losses_Mn=np.array([[of[name] for name in teachers] for of in means]),
            teacher_losses_n=np.array([teacher_losses[name] for name in teachers]),
            teacher_sizes_n=np.array([float(sizes[name]) for name in teachers]),
        )
    )
