"""The outcome of a search by Optuna: a figure of its objectives, and its Pareto set as text."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.planning.search.selection import Point
from raydistill.reports.figures.panels import COLOURS, GREY, SMALL, WIDTH, empty_figure, save, tied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LABELS: Mapping[str, str] = {
    "delta_nll": "loss above the base, nats per token",
    "downstream": "downstream drop, %",
    "parameters": "parameters kept",
    "flops": "FLOPs of training",
}


def front_lines(points: Sequence[Point], objectives: Sequence[str]) -> Iterator[str]:
    """The Pareto set as lines of text, best first by the first objective."""
    front = _front(points)
    many = len(objectives) > 1
    yield (
        f"Not beaten in {' and '.join(objectives)} at once, of {len(points)} trials, on the "
        "documents selected on:"
        if many
        else f"Lowest {objectives[0]} of {len(points)} trials, on the documents selected on:"
    )
    for point in front:
        values = (
            f"{name} {_short(name, value)}"
            for name, value in zip(objectives, point.losses, strict=True)
        )
        yield f"  {point.name}: {', '.join(values)}"
    yield "The losses are those on the other half of the held-out documents, without intervals."


def _short(objective: str, value: float) -> str:
    if objective in ("parameters", "flops"):
        return f"{value:.3g}"
    return f"{value:+.3f}" if objective == "delta_nll" else f"{value:+.1f} %"


def save_pareto(
    points: Sequence[Point], objectives: Sequence[str], folder: Path
) -> tuple[Path, ...]:
    """Write `pareto.png` and `pareto.svg`; nothing with one objective or no trial."""
    if len(objectives) < 2 or not points:
        return ()
    return save(draw_pareto(points, objectives), "pareto", folder)


def draw_pareto(points: Sequence[Point], objectives: Sequence[str]) -> "Figure":
    """A panel for every two objectives; the Pareto set is filled and numbered."""
    front = _front(points)
    pairs = list(itertools.combinations(range(len(objectives)), 2))
    figure = empty_figure(WIDTH, 4.2 * len(pairs))
    panels = figure.subplots(len(pairs), 1, squeeze=False)
    for axes, (down, across) in zip(panels.flat, pairs, strict=True):
        _draw_panel(axes, points, front, across, down)
        axes.set_xlabel(LABELS[objectives[across]])
        axes.set_ylabel(LABELS[objectives[down]])
        axes.grid(alpha=0.3)
    figure.suptitle(
        "Left and down is better; filled: not beaten on the half selected on", fontsize=10
    )
    legend = (f"{number}  {point.name}" for number, point in enumerate(front, start=1))
    figure.supxlabel("\n".join(legend), fontsize=SMALL, x=0.02, ha="left")
    return figure


def _front(points: Sequence[Point]) -> list[Point]:
    return sorted((p for p in points if p.on_front), key=lambda point: point.losses)


def _draw_panel(
    axes: "Axes", points: Sequence[Point], front: Sequence[Point], across: int, down: int
) -> None:
    for point in points:
        fill = COLOURS[0] if point.on_front else "white"
        edge = COLOURS[0] if point.on_front else GREY
        axes.plot(point.losses[across], point.losses[down], "o", color=edge, markerfacecolor=fill)
    places = {str(n): (p.losses[across], p.losses[down]) for n, p in enumerate(front, start=1)}
    for xy, numbers in tied(places, places.__getitem__).items():
        axes.annotate(numbers, xy, xytext=(5, 5), textcoords="offset points", fontsize=SMALL)
