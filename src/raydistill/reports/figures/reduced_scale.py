"""Loss over FLOPs of a sweep over shapes: every point, the front, the unigram line, the break."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    Panel,
    PanelFigure,
    line_style,
)
from raydistill.reports.reduced_scale.findings import Front, ReducedScaleFindings
from raydistill.reports.reduced_scale.runs import RULES, Run, groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = 60  # along a law


def reduced_scale_figure(findings: ReducedScaleFindings) -> PanelFigure:
    """A panel for each rule of FLOPs with a front; none of another sweep."""
    return PanelFigure(
        name="reduced-scale",
        caption="Held-out loss over the FLOPs of pretraining, a line a run and a point an age. "
        "Hollow: not 0.2 nats below the unigram line (dashed), which is all that word frequencies "
        "tell; these are in no fit. Black: the front, the lowest of each bin of FLOPs, and the "
        "law through it; shaded: where its break lies, if one is place. Losses of another "
        "objective or text do not compare.",
        panels=tuple(_panel(front, findings) for front in findings.fronts),
    )


def _panel(front: Front, findings: ReducedScaleFindings) -> Panel:
    place = front.forms.place
    broken = f"a break at {place.low:.3g} to {place.high:.3g}" if place else "no break"
    return Panel(
        alt=f"loss over FLOPs ({RULES[front.rule]}) of {len(findings.runs)} runs; the front has "
        f"{len(front.points)} points, {broken}",
        draw=lambda axes: _draw(axes, front, findings),
        height=4.0,
    )


def _draw(axes: "Axes", front: Front, findings: ReducedScaleFindings) -> None:
    several = groups(findings.runs)
    for index, ((objective, text), runs) in enumerate(several.items()):
        colour = COLOURS[index % len(COLOURS)]
        marker = line_style(index)["marker"]
        _draw_runs(axes, runs, front.rule, colour, marker, f"{objective}, {text}")
        line = runs[0].text.unigram_nats
        if line is not None:
            axes.axhline(line, linestyle="--", linewidth=0.8, color=colour)
    _draw_front(axes, front)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.tick_params(axis="y", which="both", labelsize=SMALL)
    axes.set_xlabel(f"FLOPs of pretraining, by the rule {RULES[front.rule]}")
    axes.set_ylabel("held-out nats per target")
    axes.set_title("loss over FLOPs", loc="left", fontsize=NORMAL)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper right")


def _draw_runs(
    axes: "Axes", runs: Sequence[Run], rule: str, colour: str, marker: str, name: str
) -> None:
    for run in runs:
        flops = [point.flops[rule] for point in run.points]
        axes.plot(flops, [p.loss for p in run.points], "-", color=colour, alpha=0.25, linewidth=0.8)
    for fill, is_off in ((colour, True), ("white", False)):
        points = [p for run in runs for p in run.points if run.is_off_plateau(p) == is_off]
        if points:
            axes.plot(
                [point.flops[rule] for point in points], [point.loss for point in points], marker,
                color=colour, markerfacecolor=fill, markersize=3.5, linestyle="",
                label=name if is_off else f"{name}, plateau",
            )  # fmt: skip


def _draw_front(axes: "Axes", front: Front) -> None:
    flops = front.fitted.inputs["x"]
    if not len(flops):
        return
    axes.plot(flops, front.fitted.outputs, "o", color="black", markersize=3, label="front")
    if front.law is not None:
        at = np.geomspace(flops[0], flops[-1], PLACES)
        axes.plot(at, front.law.values({"x": at}), color="black", linewidth=1, label=front.law.form)
    if front.forms.place is not None:
        axes.axvspan(front.forms.place.low, front.forms.place.high, color=GREY, alpha=0.2)
