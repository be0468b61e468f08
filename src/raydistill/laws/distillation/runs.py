"""Runs of a table with a teacher and without one, as the distillation law takes them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from raydistill.laws.points import Points
from raydistill.laws.table import NO_VALUE, Table, column_of, columns_of, points_of

SIZES = ("student_params", "student_tokens")
TEACHER, ALONE, LOSS = "teacher_loss", "student_alone", "student_loss"
FIELDS = (*SIZES, TEACHER, ALONE, LOSS)


def runs_of(table: Table, columns: Mapping[str, str]) -> tuple[Points, Points]:
    """The runs with a teacher and those without, whose `teacher_loss` is empty or "none".

    Args:
        table: with columns `student_params`, `student_tokens`, `teacher_loss`, `student_loss`, and
            `student_alone` if what each student reaches without a teacher is known otherwise.
        columns: the column of a field, where it has another name.

    Raises:
        UsageError: if a column is missing.
        DataError: if no run with a teacher can be used.
    """
    column = columns_of(table, (TEACHER,), columns)[TEACHER]
    at = table.columns.index(column)

    def has_teacher(cells: tuple[str, ...]) -> bool:
        return cells[at].lower() not in NO_VALUE

    more = (ALONE,) if column_of(table, ALONE, columns) else ()
    taught = points_of(_where(table, has_teacher), (*SIZES, TEACHER, *more), LOSS, columns)
    alone = _where(table, lambda cells: not has_teacher(cells))
    return taught, _alone(alone, columns)


def _where(table: Table, keep: Callable[[tuple[str, ...]], bool]) -> Table:
    kept = [i for i, cells in enumerate(table.rows) if keep(cells)]
    return replace(
        table,
        rows=tuple(table.rows[i] for i in kept),
        lines=tuple(table.lines[i] for i in kept),
    )


def _alone(table: Table, columns: Mapping[str, str]) -> Points:
    points = points_of(table, SIZES, LOSS, columns, may_be_empty=True)
    params, tokens = (points.inputs[name] for name in SIZES)
    return replace(points, inputs={"params": params, "tokens": tokens})
