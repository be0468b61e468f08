"""A figure as panels: side by side in a file, one below the other on a phone.

The only place that opens matplotlib. Equal data give equal bytes.
"""

import io
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from raydistill.storage.manifest import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


T = TypeVar("T", bound=Hashable)

SUFFIXES = ("png", "svg")
# The palette of Okabe and Ito (2008), distinct for colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#777777"
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Letters that are read at 400 pixels: no panel is wider than `WIDTH`, and none below another.
SMALL, NORMAL, WIDTH = 9, 10, 5.6  # points, points and inches

EVENLY = "steps of equal width"  # said of an axis whose ticks are apart alike, their values not

Draw = Callable[["Axes"], None]


def line_style(index: int) -> dict[str, Any]:
    """How matplotlib draws the line with this index in its figure: no two of 42 alike.

    Neither do two share colour and marker, so that they are told apart without their dashes.
    """
    lap, colour = divmod(index, len(COLOURS))
    return {
        "color": COLOURS[colour],
        "marker": MARKERS[(colour + lap) % len(MARKERS)],
        "linestyle": DASHES[lap % len(DASHES)],
        "markersize": 5,
    }


def tied(names: Iterable[str], value: Callable[[str], T]) -> dict[T, str]:
    """One label for each value: the names that have it, joined.

    >>> tied(["input", "middle", "output"], {"input": 1, "middle": 2, "output": 1}.get)
    {1: 'input = output', 2: 'middle'}
    """
    labels: dict[T, list[str]] = {}
    for name in names:
        labels.setdefault(value(name), []).append(name)
    return {key: " = ".join(of_value) for key, of_value in labels.items()}


def stepped_label(label: str, ticks: Sequence[object]) -> str:
    """The label of an axis with a tick at every step; it says so if the values are uneven.

    >>> stepped_label("layers removed", (2, 4, 6)), stepped_label("layers removed", (2, 4, 8))
    ('layers removed', 'layers removed (steps of equal width)')
    """
    numbers = [tick for tick in ticks if isinstance(tick, int | float)]
    steps = {after - before for before, after in pairwise(numbers)}
    is_even = len(numbers) == len(ticks) and len(steps) <= 1
    return label if is_even else f"{label} ({EVENLY})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One set of axes, with a text alternative."""

    alt: str
    draw: Draw
    height: float = 3.4  # inches
    width: float = WIDTH


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelFigure:
    """A figure: its file's name, its caption, and its panels, one below the other."""

    name: str
    caption: str
    panels: tuple[Panel, ...]


def empty_figure(width: float, height: float) -> "Figure":
    """A figure in inches, drawn without a display and without global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (a second that `--help` does not need)

    return Figure(figsize=(width, height), layout="constrained")


def draw_together(picture: PanelFigure) -> "Figure":
    """All panels in one figure."""
    heights = [panel.height for panel in picture.panels]
    figure = empty_figure(max(panel.width for panel in picture.panels), sum(heights))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for row, panel in enumerate(picture.panels):
        panel.draw(figure.add_subplot(grid[row, 0]))
    return figure


def panel_svg(panel: Panel) -> str:
    """One panel as SVG."""
    figure = empty_figure(panel.width, panel.height)
    panel.draw(figure.add_subplot())
    return svg_text(figure)


def svg_text(figure: "Figure") -> str:
    """A figure as SVG, the same bytes for the same picture."""
    import matplotlib as mpl  # noqa: PLC0415  (as above)

    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "raydistill"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return file.getvalue()


def save(figure: "Figure", name: str, folder: Path) -> tuple[Path, ...]:
    """Writes `name.png` and `name.svg`; nothing for a figure without axes."""
    if not figure.axes:
        return ()
    png, svg = (folder / f"{name}.{suffix}" for suffix in SUFFIXES)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150, bbox_inches="tight")
    write_bytes(png, image.getvalue())
    write_text(svg, svg_text(figure))
    return png, svg
