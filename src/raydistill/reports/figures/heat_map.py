"""The loss over every two numeric axes of a sweep, with the cells that are tied for the lowest."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from raydistill.evaluation.bootstrap import Estimate
from raydistill.planning.cell import format_value
from raydistill.reports.figures.panels import (
    COLOURS,
    NORMAL,
    SMALL,
    Panel,
    PanelFigure,
    stepped_label,
)
from raydistill.reports.results.cells import CANDIDATES
from raydistill.reports.results.comparison import tied_by_loss
from raydistill.reports.tables.footnotes import BEST
from raydistill.reports.tables.grids import ABSENT
from raydistill.reports.tables.points import Point, Value, in_order, number, varying

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

ONE_BASE = ("scale", "age", "text")  # losses above other bases, or on other text, are not one map
PALETTE = "cividis"  # Nuñez et al. (2018): read alike with and without colour blindness
MOST_MAPS = 12  # of one figure
WIDEST = 6  # columns, above which numbers stand upright
LABELS = {"count": "layers removed", "gap": "gap between two removals", "lr": "peak learning rate"}

Place = tuple[Value, Value]  # a value of the x axis, and one of the y axis


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """The points of two axes that have all else in common, which `title` says."""

    x: str
    y: str
    title: str
    points: Mapping[Place, Point]

    @property
    def ticks(self) -> tuple[list[Value], list[Value]]:
        """The values of both axes."""
        return in_order([x for x, _ in self.points]), in_order([y for _, y in self.points])

    @property
    def is_crossed(self) -> bool:
        """Whether there is more than one row and one column, which would be two lines."""
        xs, ys = ({place[i] for place in self.losses} for i in (0, 1))
        return min(len(xs), len(ys)) > 1 and len(self.losses) >= len(xs) + len(ys)

    @property
    def losses(self) -> dict[Place, float]:
        """Nats per token lost against the base, where that was measured."""
        entries = {place: number(point, "delta_nll") for place, point in self.points.items()}
        return {place: e.value for place, e in entries.items() if isinstance(e, Estimate)}

    @property
    def tied(self) -> set[Place]:
        """The places that are not distinguishable from the lowest loss."""
        places = {str(place): place for place in self.losses}
        runs = {name: self.points[place].runs for name, place in places.items()}
        return {places[name] for name in tied_by_loss(runs)}


def heat_maps(points: Sequence[Point]) -> list[PanelFigure]:
    """A figure for every two numeric axes that are crossed; the one with fewer values is x."""
    removals = [point for point in points if point.row.role in CANDIDATES]
    swept = {axis for point in removals for axis in point.cells[0].values}
    axes = [name for name in varying(removals) if name in swept and name not in ONE_BASE]
    ticks = {name: _values(removals, name) for name in axes}
    numeric = [name for name in axes if not any(isinstance(value, str) for value in ticks[name])]
    pairs = [sorted(pair, key=lambda name: len(ticks[name])) for pair in combinations(numeric, 2)]
    figures = [_figure(x, y, _maps(removals, x, y, {*axes, *ONE_BASE})) for x, y in pairs]
    return [figure for figure in figures if figure.panels]


def _figure(x: str, y: str, maps: Sequence[HeatMap]) -> PanelFigure:
    ascending = sorted(maps, key=lambda heat_map: min(heat_map.losses.values()))
    lowest = {heat_map.title for heat_map in ascending[:MOST_MAPS]}
    shown = [heat_map for heat_map in maps if heat_map.title in lowest]
    few = f" The {MOST_MAPS} maps with the lowest losses, of {len(maps)}."
    return PanelFigure(
        name=f"heat-map-{y}-{x}",
        caption=f"{_label(y).capitalize()} by {_label(x)}: nats per token lost against the base; "
        f"lower is better. Framed and with {BEST}: not distinguishable from the lowest of its map "
        "(paired bootstrap over documents and data seeds, Holm, 5 %; with one seed training noise "
        f"is not included).{few if len(shown) < len(maps) else ''}",
        panels=tuple(map(_panel, shown)),
    )


def _label(axis: str) -> str:
    return LABELS.get(axis, axis.replace("_", " "))


def _values(points: Sequence[Point], axis: str) -> list[Value]:
    return in_order([point.fields[axis] for point in points if axis in point.fields])


def _maps(points: Sequence[Point], x: str, y: str, names: set[str]) -> list[HeatMap]:
    """One for each combination of other `names`, and of what else differs at one place."""
    both = [point for point in points if x in point.fields and y in point.fields]
    at: dict[Place, list[Point]] = {}
    for point in both:
        at.setdefault((point.fields[x], point.fields[y]), []).append(point)
    names = names.union(*map(varying, at.values())) - {x, y}
    others = [name for name in varying(both) if name in names]
    maps: dict[str, dict[Place, Point]] = {}
    for place, at_place in at.items():
        for point in at_place:
            title = ", ".join(f"{n} {point.text(n)}" for n in others if n in point.fields)
            maps.setdefault(title, {}).setdefault(place, point)
    all_maps = [HeatMap(x=x, y=y, title=t, points=places) for t, places in maps.items()]
    return [heat_map for heat_map in all_maps if heat_map.is_crossed]


def _panel(heat_map: HeatMap) -> Panel:
    x, y = heat_map.x, heat_map.y
    losses = ", ".join(
        f"{format_value(x, at_x)} and {format_value(y, at_y)} {loss:+.3f}"
        for (at_x, at_y), loss in heat_map.losses.items()
    )
    about = f" ({heat_map.title})" if heat_map.title else ""
    return Panel(
        alt=f"nats per token lost by {_label(x)} and {_label(y)}{about}: {losses}",
        draw=lambda axes: _draw(axes, heat_map),
        height=1.7 + (0.62 if _is_wide(heat_map) else 0.42) * len(heat_map.ticks[1]),
    )


def _draw(axes: "Axes", heat_map: HeatMap) -> None:
    (xs, ys), losses, tied = heat_map.ticks, heat_map.losses, heat_map.tied
    grid = [[losses.get((x, y), math.nan) for x in xs] for y in ys]
    middle = (min(losses.values()) + max(losses.values())) / 2
    axes.imshow(grid, cmap=PALETTE, origin="lower", aspect="auto")
    for row, y in enumerate(ys):
        for column, x in enumerate(xs):
            loss, is_tied = losses.get((x, y)), (x, y) in tied
            is_dark = loss is not None and loss < middle
            axes.text(
                column,
                row,
                ABSENT if loss is None else f"{loss:+.3f}{BEST if is_tied else ''}",
                color="white" if is_dark else "black",
                fontsize=SMALL,
                ha="center",
                va="center",
                rotation=90 if _is_wide(heat_map) else 0,
            )
            if is_tied:
                axes.add_patch(_frame(column, row))
    axes.set_xticks(range(len(xs)), [_text(heat_map.x, x) for x in xs])
    axes.set_yticks(range(len(ys)), [_text(heat_map.y, y) for y in ys])
    axes.set_xlabel(spaced_label(_label(heat_map.x), xs))
    axes.set_ylabel(textwrap.fill(spaced_label(_label(heat_map.y), ys), 30))
    title = [
        *textwrap.wrap(heat_map.title, 64),
        f"nats per token above the base; {BEST} tied with the lowest",
    ]
    axes.set_title("\n".join(title), loc="left", fontsize=NORMAL)
    axes.tick_params(length=0)


def _is_wide(heat_map: HeatMap) -> bool:
    return len(heat_map.ticks[0]) > WIDEST


def _frame(column: int, row: int) -> "Rectangle":
    from matplotlib.patches import Rectangle  # noqa: PLC0415  (as in panels.py)

    corner, side = (column - 0.46, row - 0.44), (0.92, 0.88)
    return Rectangle(corner, *side, fill=False, edgecolor=COLOURS[1], linewidth=2)


def _text(axis: str, value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else format_value(axis, value)


def spaced_label(label: str, ticks: Sequence[Value]) -> str:
    """The label of an axis with a tick a value: it says if the spacing is logarithmic, or uneven.

    >>> spaced_label("rate", (1e-4, 3e-4, 1e-3)), spaced_label("count", (2, 4, 6))
    ('rate (log spacing)', 'count')
    """
    numbers = [float(tick) for tick in ticks if tick]
    ratios = [after / before for before, after in pairwise(numbers)]
    is_log = len(numbers) == len(ticks) > 2 and max(ratios) < 1.3 * min(ratios)
    plain = stepped_label(label, ticks)
    return plain if plain == label or not is_log else f"{label} (log spacing)"
