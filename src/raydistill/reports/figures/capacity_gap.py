"""Students by their teachers: loss over the teacher's size and loss, and T* over S."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from raydistill.laws.capacity_gap.best_teacher import BestTeacher
from raydistill.laws.published import CAPACITY_GAP
from raydistill.reports.capacity_gap.findings import (
    CapacityGapFindings,
    GroupFindings,
)
from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    Panel,
    PanelFigure,
    line_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def capacity_gap_figure(findings: CapacityGapFindings) -> PanelFigure:
    """Three panels for each way to begin; the last two where there is something to draw."""
    panels: list[Panel] = []
    for group in findings.groups:
        panels += [*_curves(group), *_by_loss(group, findings), *_best_teachers(group)]
    return PanelFigure(
        name="capacity-gap",
        caption="Students by their teachers. Held-out loss over the teacher's size, with its "
        "oldest age (filled: not distinguishable from the best, Holm, 5 %; | the parabola's "
        "minimum) and over the teacher's own loss, all ages. Then the best teacher T* over the "
        "student's size S; hollow: not between the teachers tried (grey), from which a null draws "
        "at random. Bars are 95 % intervals.",
        panels=tuple(panels),
    )


def _curves(group: GroupFindings) -> list[Panel]:
    if all(len(of.oldest) < 2 for of in group.students):
        return []
    lowest = [f"{of.student.name} by {of.best.teacher}" for of in group.students]
    return [
        Panel(
            alt=f"students' loss over the teacher's size, start {group.name}; lowest: "
            + ", ".join(lowest),
            draw=lambda axes: _draw_curves(axes, group),
            height=3.6,
        )
    ]


def _draw_curves(axes: "Axes", group: GroupFindings) -> None:
    for index, of in enumerate(group.students):
        style = line_style(index)
        xs = [float(lesson.teacher_size) for lesson in of.oldest]
        entries = of.above_best
        axes.plot(xs, [e.value for e in entries], label=of.student.name, **style | {"marker": ""})
        axes.vlines(xs, [e.low for e in entries], [e.high for e in entries], style["color"])
        for x, entry, lesson in zip(xs, entries, of.oldest, strict=True):
            fill = style["color"] if lesson.teacher in of.tied else "white"
            marker = {key: style[key] for key in ("color", "marker", "markersize")}
            axes.plot(x, entry.value, **marker, markerfacecolor=fill)
        if of.minimum.is_interior and of.minimum.teacher is not None:
            axes.plot(of.minimum.teacher.value, 0, "|", color=style["color"], markersize=16)
    _finish(axes, group, ("teacher, parameters", "student, nats per token above its best"))
    axes.set_xscale("log")


def _by_loss(group: GroupFindings, findings: CapacityGapFindings) -> list[Panel]:
    """The student's loss over its teacher's; nothing of one age a size, which says no more."""
    known = findings.teacher_losses
    lessons = {
        lesson.teacher: lesson.model for of in group.students for lesson in of.student.lessons
    }
    measured = [model for teacher, model in lessons.items() if teacher in known]
    if len(measured) == len(set(measured)):
        return []
    return [
        Panel(
            alt=f"students' loss over the teacher's loss, start {group.name}",
            draw=lambda axes: _draw_by_loss(axes, group, known),
            height=3.6,
        )
    ]


def _draw_by_loss(axes: "Axes", group: GroupFindings, known: Mapping[str, float]) -> None:
    for index, of in enumerate(group.students):
        style = line_style(index) | {"linestyle": ""}
        lessons = [
            lesson
            for lesson in of.student.lessons
            if lesson.teacher in known and lesson.teacher in of.losses
        ]
        axes.plot(
            [known[lesson.teacher] for lesson in lessons],
            [of.losses[lesson.teacher].value for lesson in lessons],
            label=of.student.name,
            **style,
        )
    _finish(axes, group, ("teacher, nats per token", "student, nats per token"))


def _best_teachers(group: GroupFindings) -> list[Panel]:
    if all(of.minimum.teacher is None for of in group.students):
        return []
    return [
        Panel(
            alt=f"best teacher over the student's size, start {group.name}: {group.law.verdict}",
            draw=lambda axes: _draw_best_teachers(axes, group),
            height=3.6,
        )
    ]


def _draw_best_teachers(axes: "Axes", group: GroupFindings) -> None:
    law, students = group.law, group.students
    for of in students:
        tried = of.curve.sizes_N
        axes.plot([of.student.size] * len(tried), tried, "_", color=GREY, markersize=8)
        _draw_minimum(axes, of.minimum)
    sizes = np.geomspace(students[0].student.size, students[-1].student.size, 50)
    if law.slope is not None and law.intercept is not None:
        ours = law.slope.value * sizes + law.intercept.value
        axes.plot(sizes[ours > 0], ours[ours > 0], color=COLOURS[0], label="our line")
    published = np.array([CAPACITY_GAP.teacher_params(size) for size in sizes])
    if (published > 0).any():
        kept = published > 0
        axes.plot(sizes[kept], published[kept], "--", color=COLOURS[1], label="as published")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("student S, parameters")
    axes.set_ylabel("best teacher T*, parameters")
    axes.set_title(f"start {group.name}: {law.verdict}", loc="left", fontsize=NORMAL)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=SMALL, frameon=False)


def _draw_minimum(axes: "Axes", minimum: BestTeacher) -> None:
    teacher = minimum.teacher
    if teacher is None:
        return
    fill = COLOURS[0] if minimum.is_interior else "white"
    axes.vlines(minimum.size, teacher.low, teacher.high, color=COLOURS[0], linewidth=1.5)
    axes.plot(minimum.size, teacher.value, "o", color=COLOURS[0], markerfacecolor=fill)


def _finish(axes: "Axes", group: GroupFindings, labels: tuple[str, str]) -> None:
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title(f"start {group.name}", loc="left", fontsize=NORMAL)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL, frameon=False, ncols=2)
