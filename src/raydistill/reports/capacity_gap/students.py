"""Students by their teachers, from the cells of a sweep over sizes and teachers (METHOD 8)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raydistill.core.errors import UsageError
from raydistill.core.units import format_age, parse_tokens
from raydistill.distillation.loss_name import had_teacher
from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.evaluation.performance_drops import Runs
from raydistill.planning.cell import SIZE, TEACHER, compares_teachers
from raydistill.reports.results.cells import Measured, ReportCell, SweepReport
from raydistill.specs.flops import parameters
from raydistill.specs.locations import NONE
from raydistill.specs.trial import CUT, OWN, SCRATCH

START, LOSS = "start", "loss"
_STARTS = (OWN, CUT, SCRATCH)  # in the order of METHOD 8
_CROSSED = (SIZE, TEACHER, START, LOSS, "seed", "budget")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One student with one teacher: its cells, one a data seed.

    `teacher` is `SCALE@AGE`, `teacher_size` its parameters, `teacher_blocks` those of its blocks.
    """

    teacher: str
    teacher_size: int
    teacher_blocks: int
    cells: tuple[ReportCell, ...]

    @property
    def runs(self) -> Runs:
        """What was measured, by data seed."""
        return runs_of(self.cells)

    @property
    def is_uncut(self) -> bool:
        """Whether the student is "cut" from a teacher of its own size: it is then all of it."""
        cell = self.cells[0]
        return cell.start == CUT and self.teacher_size == cell.num_params

    @property
    def model(self) -> str:
        """The teacher without its age."""
        return self.teacher.rpartition("@")[0]

    @property
    def age(self) -> float:
        """How old the teacher is: its tokens, or the number in the name of a revision."""
        text = self.teacher.rpartition("@")[2]
        try:
            return parse_tokens(text)
        except UsageError:
            numbers = re.findall(r"\d+", text)
            return float(numbers[-1]) if numbers else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """A size of student, with what it learned from each teacher, and without one.

    Attributes:
        name: of its scale.
        size: its parameters.
        blocks: those of its blocks, without embeddings.
        lessons: ascending in the teacher's size, then age.
        free: teacher-free on as many tokens.
        equal_flops: teacher-free on as many FLOPs as with the teacher of that name.
    """

    name: str
    size: int
    blocks: int
    lessons: tuple[Lesson, ...]
    free: Runs
    equal_flops: Mapping[str, Runs]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaughtGroup:
    """Students that begin alike and learn by one loss: `own`, `cut` or `scratch`."""

    name: str
    students: tuple[Student, ...]  # ascending in size


@dataclass(frozen=True, kw_only=True, slots=True)
class TaughtStudents:
    """All groups of a sweep, and its teachers' own scores by name."""

    groups: tuple[TaughtGroup, ...] = ()
    teachers: Mapping[str, DocumentScores] = field(default_factory=dict)


def taught_students(report: SweepReport) -> TaughtStudents:
    """The students of a sweep over sizes and teachers; no group in any other one."""
    cells = [cell for cell in report.cells if compares_teachers(cell.values)]
    groups: dict[tuple[object, ...], list[ReportCell]] = {}
    for cell in cells:
        if had_teacher(cell.train.loss):
            groups.setdefault(_setting(cell), []).append(cell)
    losses = {cell.train.loss for of_group in groups.values() for cell in of_group}
    free = [cell for cell in cells if not had_teacher(cell.train.loss)]
    return TaughtStudents(
        groups=tuple(
            TaughtGroup(name=_name(taught[0], losses), students=_students(taught, free))
            for taught in sorted(groups.values(), key=_start_order)
        ),
        teachers={f"{base.scale}@{format_age(base.age)}": base.documents for base in report.bases},
    )


def runs_of(cells: Sequence[ReportCell]) -> Runs:
    """What was measured of cells that differ in their data seed alone."""
    return {
        cell.train.seed: cell.outcome.documents
        for cell in cells
        if isinstance(cell.outcome, Measured)
    }


def _start_order(taught: Sequence[ReportCell]) -> int:
    start = str(taught[0].values.get(START, OWN))
    return _STARTS.index(start) if start in _STARTS else len(_STARTS)


def _setting(cell: ReportCell) -> tuple[object, ...]:
    """What students that are compared have in common."""
    others = sorted((axis, str(v)) for axis, v in cell.values.items() if axis not in _CROSSED)
    return cell.values.get(START, ""), cell.train.loss, cell.text, *others


def _name(cell: ReportCell, losses: set[str]) -> str:
    others = [f"{axis} {v}" for axis, v in cell.values.items() if axis not in (*_CROSSED, "age")]
    loss = [cell.train.loss] if len(losses) > 1 else []
    return ", ".join([str(cell.values.get(START, OWN)), *loss, *others])


def _students(taught: Sequence[ReportCell], free: Sequence[ReportCell]) -> tuple[Student, ...]:
    by_scale: dict[str, list[ReportCell]] = {}
    for cell in taught:
        by_scale.setdefault(cell.scale, []).append(cell)
    return tuple(
        sorted(
            (_student(cells, [f for f in free if _begin_alike(f, cells[0])])
             for cells in by_scale.values()),
            key=lambda student: (student.size, student.name),
        )
    )  # fmt: skip


def _begin_alike(free: ReportCell, taught: ReportCell) -> bool:
    return (free.scale, free.text, free.values.get(START)) == (
        taught.scale, taught.text, taught.values.get(START),
    )  # fmt: skip


def _student(taught: Sequence[ReportCell], free: Sequence[ReportCell]) -> Student:
    lessons: dict[str, list[ReportCell]] = {}
    for cell in taught:
        lessons.setdefault(_teacher(cell), []).append(cell)
    anchors: dict[str, list[ReportCell]] = {}
    for cell in free:
        named = str(cell.values[TEACHER])
        anchors.setdefault("" if named == NONE else _teacher(cell), []).append(cell)
    other, width = _outside_blocks(taught)
    every = [
        Lesson(
            teacher=name,
            teacher_size=(size := _teacher_size(cells[0])),
            teacher_blocks=size - round(other * _teacher_width(cells[0], width) / width),
            cells=tuple(cells),
        )
        for name, cells in lessons.items()
    ]
    return Student(
        name=taught[0].scale,
        size=taught[0].num_params,
        blocks=taught[0].num_params - other,
        lessons=tuple(sorted(every, key=lambda lesson: (lesson.teacher_size, lesson.age))),
        free=runs_of(anchors.pop("", [])),
        equal_flops={name: runs_of(cells) for name, cells in anchors.items()},
    )


def _teacher(cell: ReportCell) -> str:
    """`SCALE@AGE` of the teacher that a cell names."""
    if cell.taught_by is not None:
        return cell.taught_by.name
    named = str(cell.values[TEACHER])
    if named == OWN:
        return f"{cell.scale}@{format_age(cell.age)}"
    return named if "@" in named else f"{cell.scale}@{named}"


def _teacher_size(cell: ReportCell) -> int:
    return cell.num_params if cell.taught_by is None else cell.taught_by.num_params


def _teacher_width(cell: ReportCell, own: int) -> int:
    return own if cell.taught_by is None else cell.taught_by.dim


def _outside_blocks(cells: Sequence[ReportCell]) -> tuple[int, int]:
    """A student's parameters outside its blocks, mostly embeddings, and its width: 0, 1 if unknown.

    A teacher has as many for each unit of its width, as both share a vocabulary.
    """
    for cell in cells:
        if isinstance(cell.outcome, Measured):
            model = cell.outcome.result.trained.model
            return parameters(model, range(model.num_layers)), model.dim
    return 0, 1
