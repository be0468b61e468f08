"""A figure as panels: side by side in a file, one below the other on a phone.

The only place that opens matplotlib. Equal data give equal bytes.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.storage.manifest import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SUFFIXES = ("png", "svg")
# The palette of Okabe and Ito (2008), distinct for colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#777777"
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")

Draw = Callable[["Axes"], None]


def line_style(index: int) -> tuple[str, str]:
    """Colour and dashes of the line with this index in its figure."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One set of axes, with a text alternative."""

    alt: str
    draw: Draw
    height: float = 3.4  # inches
    width: float = 4.6


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelFigure:
    """A figure: its file's name, its caption, and its panels, row by row."""

    name: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int = 2


def empty_figure(width: float, height: float) -> "Figure":
    """A figure in inches, drawn without a display and without global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (a second that `--help` does not need)

    return Figure(figsize=(width, height), layout="constrained")


def draw_together(picture: PanelFigure) -> "Figure":
    """All panels in one figure."""
    columns = min(picture.columns, len(picture.panels))
    rows = [picture.panels[i : i + columns] for i in range(0, len(picture.panels), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    width = sum(max(p.width for p in picture.panels[i::columns]) for i in range(columns))
    figure = empty_figure(width, sum(heights))
    grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
    for index, panel in enumerate(picture.panels):
        panel.draw(figure.add_subplot(grid[divmod(index, columns)]))
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
