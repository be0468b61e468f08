"""The paper's Figures 1, 2 and 3, drawn where a sweep has their axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raydistill.evaluation.bootstrap import Estimate
from raydistill.planning.cell import format_value
from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    SMALL,
    Panel,
    PanelFigure,
    line_style,
    stepped_label,
)
from raydistill.reports.results.cells import CONTROL
from raydistill.reports.tables.points import Point, Value, in_order, number, varying
from raydistill.specs.evaluation import metric_of, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


KEPT_COLOUR, REMOVED_COLOUR = COLOURS[0], COLOURS[2]
# Left and right in the paper's Figure 3.
DROPS = {"perplexity_drop_pct": "perplexity drop, %", "downstream_drop_pct": "downstream drop, %"}
EQUAL = "equal"  # the axis of what gaps have in common, tokens or FLOPs: no meaning without a gap
LONG_NAME = 16  # letters of a line's name, above which a legend has one column


def paper_figures(points: Sequence[Point]) -> list[PanelFigure]:
    """Those of the three figures whose axes differ among the points."""
    swept = {axis for point in points for axis in point.cells[0].values}
    removals = [point for point in points if point.row.role == "candidate"]
    axes = swept.intersection(varying(points))
    pictures = [
        *([_figure_1(removals)] if "gap" in axes else []),
        *([_figure_2(points)] if "location" in axes else []),
        *([_figure_3(removals)] if "count" in axes else []),
    ]
    return [picture for picture in pictures if picture.panels]


def _figure_1(removals: Sequence[Point]) -> PanelFigure:
    return PanelFigure(
        name="figure-1",
        caption="As Figure 1 of the paper: what is lost against the base over the tokens between "
        "two removals (the paper's tokens), a line an age. Bars are 95 % intervals; up is worse.",
        panels=_panels(removals, "gap", "gap between two removals"),
    )


def _figure_3(removals: Sequence[Point]) -> PanelFigure:
    sizes = in_order([point.fields["scale"] for point in removals])
    panels = [
        panel
        for size in sizes
        for panel in _panels(
            [point for point in removals if point.fields["scale"] == size],
            "count",
            "layers removed",
            str(size) if len(sizes) > 1 else "",
        )
    ]
    return PanelFigure(
        name="figure-3",
        caption="As Figure 3 of the paper: what is lost against the base over the number of layers "
        "that leave, a line an age, a row a model size. Bars are 95 % intervals; up is worse.",
        panels=tuple(panels),
    )


def _panels(removals: Sequence[Point], axis: str, label: str, title: str = "") -> tuple[Panel, ...]:
    """Perplexity and downstream over `axis`; a line for each combination of what else differs."""
    on_axis = [point for point in removals if axis in point.fields]
    lines = _lines(on_axis, axis)
    ticks = in_order([point.fields[axis] for point in on_axis])
    if len(ticks) < 2:
        return ()
    return tuple(
        Panel(
            alt=f"{text} over {label}{f' ({title})' if title else ''}: {', '.join(lines)}",
            draw=lambda axes, metric=metric, text=text: _draw_lines(  # type: ignore[misc]
                axes, lines, metric, axis, ticks, (label, text, title)
            ),
        )
        for metric, text in _named(on_axis)
    )


def _named(points: Sequence[Point]) -> list[tuple[str, str]]:
    """`DROPS` for the held-out loss of some points, of the first where they differ."""
    loss = points[0].row.loss
    return [(metric_of(metric, loss), words_of(text, loss)) for metric, text in DROPS.items()]


def _lines(on_axis: Sequence[Point], axis: str) -> dict[str, list[Point]]:
    """The points of each line; one that trained at equal tokens begins every line of its age."""
    names = [n for n in varying(on_axis) if n not in (axis, "gap_tokens", "scale", "budget")]
    lines: dict[str, list[Point]] = {}
    for point in on_axis:
        lines.setdefault(_line_name(point, names), []).append(point)
    for start in on_axis:
        for line in lines.values():
            alike = all(line[0].fields[n] == start.fields[n] for n in names if n != EQUAL)
            if not start.fields[axis] and alike and all(p.fields[axis] for p in line):
                line.append(start)
    return lines


def _line_name(point: Point, names: Sequence[str]) -> str:
    fields = [f"{name} {point.text(name)}" for name in names if name in point.fields]
    return ", ".join(fields) or point.row.name


def _draw_lines(
    axes: "Axes",
    lines: Mapping[str, Sequence[Point]],
    metric: str,
    axis: str,
    ticks: Sequence[Value],
    labels: tuple[str, str, str],
) -> None:
    axes.axhline(0, color=GREY, linewidth=1)
    for index, (name, line) in enumerate(lines.items()):
        entries = {ticks.index(point.fields[axis]): number(point, metric) for point in line}
        estimates = {x: e for x, e in sorted(entries.items()) if isinstance(e, Estimate)}
        xs = [x + 0.06 * (index - (len(lines) - 1) / 2) for x in estimates]
        style, ys = line_style(index), estimates.values()
        axes.plot(xs, [y.value for y in ys], **style)
        axes.vlines(xs, [y.low for y in ys], [y.high for y in ys], style["color"])
        axes.plot([], [], **style, label=name)
    axes.set_xticks(range(len(ticks)), [format_value(axis, tick) for tick in ticks])
    axes.set_xlabel(stepped_label(labels[0], ticks))
    axes.set_ylabel(labels[1])
    axes.grid(axis="y", alpha=0.3)
    axes.legend(
        title=labels[2] or None,
        fontsize=SMALL,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
        ncols=1 if max(map(len, lines)) > LONG_NAME else 3,
        alignment="left",
    )


def _figure_2(points: Sequence[Point]) -> PanelFigure:
    order = in_order([point.fields["location"] for point in points])
    points = sorted(points, key=lambda point: order.index(point.fields["location"]))
    removals = [point for point in points if point.row.location != CONTROL]
    maps = {p.row.name: p.row.layer_map for p in removals}
    agree = all(maps[p.row.name] == p.row.layer_map for p in points if p.row.name in maps)
    if not agree:  # a data-driven location takes other layers at another age
        maps = {f"{p.row.name} ({p.label})": p.row.layer_map for p in removals}
    widest = max((len(boxes) for boxes in maps.values()), default=0)
    panel = Panel(
        alt="layers that leave: "
        + "; ".join(f"{name} {_removed(boxes)}" for name, boxes in maps.items()),
        draw=lambda axes: _draw_maps(axes, maps, widest),
        height=0.9 + 0.26 * len(maps),
    )
    return PanelFigure(
        name="figure-2",
        caption="As Figure 2 of the paper: the layers that leave (green, hollow) and those that "
        "stay (blue); layer 0 is at the input.",
        panels=(panel,) if maps else (),
    )


def _removed(boxes: str) -> str:
    return " ".join(str(layer) for layer, box in enumerate(boxes) if box == "□")


def _draw_maps(axes: "Axes", maps: Mapping[str, str], widest: int) -> None:
    for y, boxes in enumerate(maps.values()):
        kept, removed = (
            [(layer - 0.4, 0.8) for layer, box in enumerate(boxes) if box == kind] for kind in "■□"
        )
        axes.broken_barh(kept, (y - 0.3, 0.6), facecolors=KEPT_COLOUR)
        axes.broken_barh(removed, (y - 0.3, 0.6), facecolors="white", edgecolors=REMOVED_COLOUR)
    axes.set_yticks(range(len(maps)), maps)
    axes.set_ylim(len(maps) - 0.4, -0.6)
    axes.set_xlim(-0.7, widest - 0.3)
    step = 1 if widest <= 12 else 2 if widest <= 24 else 4
    axes.set_xticks(range(0, widest, step))
    axes.set_xlabel("layer (0 is at the input)")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
