"""The figures of `raydistill law`: a law with its points, and a budget's candidates."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.laws.distillation.answers import DistillationLaw, name_of
from raydistill.laws.distillation.budget import Budget, Candidate
from raydistill.laws.fit import Fit, Prediction
from raydistill.laws.form import load_form
from raydistill.laws.forms.capacity_gap import INPUT
from raydistill.laws.points import FloatArray
from raydistill.laws.published import CAPACITY_GAP
from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    SMALL,
    SUFFIXES,
    Panel,
    PanelFigure,
    draw_together,
    svg_text,
)
from raydistill.storage.manifest import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = 40  # along a curve


def check_picture(to: str) -> Path:
    """The file of a figure.

    Raises:
        UsageError: if its name says no format, or its folder does not exist.
    """
    path = resolve_path(to).absolute()
    if path.suffix[1:] not in SUFFIXES:
        raise UsageError(f"--plot {to!r}: name a file that ends in .{' or .'.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {to!r}: there is no folder {path.parent}")
    return path


def save_picture(figure: PanelFigure, to: str) -> Path:
    """Write a figure to one file, as its name says.

    Raises:
        SetupError: if it cannot be written.
    """
    path, drawn = check_picture(to), draw_together(figure)
    try:
        if path.suffix == ".svg":
            write_text(path, svg_text(drawn))
        else:
            image = io.BytesIO()
            drawn.savefig(image, format="png", dpi=150, bbox_inches="tight")
            write_bytes(path, image.getvalue())
    except OSError as error:
        raise SetupError(f"--plot {to!r} cannot be written: {error.strerror}") from error
    return path


def fit_figure(law: Fit) -> PanelFigure:
    """The law along its input with its points; of several inputs, what it says of each point."""
    draw = _curve if len(law.box) == 1 else _residuals
    panel = Panel(alt=f"{law.form} and its points", draw=lambda axes: draw(axes, law))
    return PanelFigure(name="law", caption=law.form, panels=(panel,))


def _curve(axes: "Axes", law: Fit) -> None:
    ((name, (low, high)),) = law.box.items()
    at = np.geomspace(low, high, PLACES) if low < high else np.array([low])
    _bands(axes, at, law.predictions({name: at}))
    axes.plot(law.table.inputs[name], law.table.outputs, "o", color=COLOURS[1], label="points")
    axes.set_xscale("log")
    _finish(axes, name, load_form(law.form).output)


def _residuals(axes: "Axes", law: Fit) -> None:
    points = law.points
    fitted = law.values(points.inputs)
    every = np.concatenate([fitted, points.outputs])
    ends = [float(every.min()), float(every.max())]
    axes.plot(ends, ends, color=GREY, label="equal")
    axes.plot(fitted, points.outputs, "o", color=COLOURS[1], label="points")
    output = load_form(law.form).output
    _finish(axes, f"{output} by the law", f"{output} measured")


def teacher_figure(law: Fit | None, student_params: float) -> PanelFigure:
    """The best teacher by the student's size, by the law fitted here, if any, and as published."""

    def draw(axes: "Axes") -> None:
        low = high = student_params
        if law is not None:
            _curve(axes, law)
            low, high = law.box[INPUT]
        at = np.geomspace(min(low, student_params / 2), max(high, student_params * 2), PLACES)
        published = np.array([CAPACITY_GAP.teacher_params(size) for size in at])
        published[published <= 0] = np.nan
        axes.plot(at, published, "--", color=GREY, label="published")
        axes.axvline(student_params, color=GREY, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _finish(axes, "student, parameters", "best teacher, parameters")

    panel = Panel(alt="the best teacher by the size of its student", draw=draw)
    return PanelFigure(name="teacher", caption="The best teacher of a student.", panels=(panel,))


def budget_figure(
    law: DistillationLaw,
    budget: Budget,
    candidates: Sequence[Candidate],
    searched: tuple[float, float],
) -> PanelFigure:
    """The student's loss with every candidate, by FLOPs; the budget is a line."""

    def draw(axes: "Axes") -> None:
        at = np.geomspace(*searched, PLACES)
        for index, candidate in enumerate(candidates):
            losses = [_loss(law, replace(budget, flops=float(flops)), candidate) for flops in at]
            colour = GREY if candidate is None else COLOURS[index % len(COLOURS)]
            axes.plot(at, losses, color=colour, label=f"{name_of(candidate)}")
        axes.axvline(budget.flops, color=GREY, linewidth=0.8)
        axes.set_xscale("log")
        _finish(axes, "FLOPs for one student", "student's loss, nats per token")

    panel = Panel(alt="a student's loss by its budget, for each teacher", draw=draw)
    return PanelFigure(name="budget", caption="Teachers under a budget.", panels=(panel,))


def _loss(law: DistillationLaw, budget: Budget, candidate: Candidate) -> float:
    tokens = budget.student_tokens(candidate)
    return law.loss(budget.student_params, tokens, candidate) if tokens > 0 else math.nan


def _bands(axes: "Axes", at: FloatArray, predictions: Sequence[Prediction]) -> None:
    noisy = np.array([one.interval_with_noise for one in predictions])
    narrow = np.array([one.interval for one in predictions])
    for ends, alpha, label in ((noisy, 0.12, "95 % with noise"), (narrow, 0.3, "95 % of the law")):
        axes.fill_between(at, ends[:, 0], ends[:, 1], color=COLOURS[0], alpha=alpha, label=label)
    axes.plot(at, [one.value for one in predictions], color=COLOURS[0], label="law")


def _finish(axes: "Axes", x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL)
