"""Two figures of a sweep: what every location lost, and its loss during healing."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    WIDTH,
    Panel,
    PanelFigure,
    draw_together,
    empty_figure,
    line_style,
    save,
    stepped_label,
    tied,
)
from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.results.cells import CANDIDATES, CONTROL, SweepReport
from raydistill.reports.tables.healing import windows
from raydistill.reports.tables.table import Block, Table, build_table
from raydistill.specs.evaluation import PERPLEXITY, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HEALING = "healing"


def save_figures(report: SweepReport, folder: Path) -> tuple[Path, ...]:
    """Write both figures as PNG and SVG; one without data is left out."""
    drops, curves = draw_drops(build_table(report)), draw_healing(report)
    return (*save(drops, "drops", folder), *save(curves, HEALING, folder))


def draw_drops(table: Table) -> "Figure":
    """What every location lost, with intervals; the base is at 0, the control a dashed line."""
    rows = [row for block in table.blocks for row in block.rows]
    names = sorted({r.name for r in rows if r.role in CANDIDATES}, key=table.columns.index)
    height = 1.6 + 0.14 * len(names) * (1 + len(table.blocks))
    figure = empty_figure(WIDTH, 1.4 + 2 * height + 0.2 * len(table.blocks))
    if not names:
        return figure
    panels = figure.subplots(2, 1)
    losses = dict.fromkeys(words_of(PERPLEXITY, block.loss) for block in table.blocks)
    labels = (f"{' or '.join(losses)} drop, %", "downstream drop, %")
    for axes, label in zip(panels, labels, strict=True):
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_xlabel(f"{label}, against the base (right is worse)")
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
    for index, block in enumerate(table.blocks):
        shift = 0.5 * ((index + 0.5) / len(table.blocks) - 0.5)
        ys = {name: y + shift for y, name in enumerate(names)}
        _draw_block(panels, block, ys, COLOURS[index % len(COLOURS)])
    panels[1].plot([], [], "o", color=GREY, label="not distinguishable from the best")
    panels[1].plot([], [], "o", color=GREY, markerfacecolor="white", label="worse than the best")
    panels[1].plot([], [], "--", color=GREY, label="control (nothing removed)")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    figure.suptitle(_wrapped(table.title), x=0.01, ha="left", fontsize=NORMAL)
    return figure


def _draw_block(
    panels: "Sequence[Axes]", block: Block, ys: Mapping[str, float], colour: str
) -> None:
    for row in block.rows:
        entries = (row.against_base.perplexity_drop_pct, row.against_base.downstream_drop_pct)
        marks = (row.best_nll, row.best_downstream)
        for axes, entry, best in zip(panels, entries, marks, strict=True):
            if isinstance(entry, Missing):
                continue
            if row.role == "control":
                axes.axvline(entry.value, color=colour, linestyle="--", linewidth=1)
            elif row.role in CANDIDATES:
                fill = colour if best or not block.compares else "white"
                _draw_estimate(axes, entry, ys[row.name], fill, colour)
        if isinstance(row.paper_drop_pct, float) and row.name in ys:
            panels[1].plot(row.paper_drop_pct, ys[row.name], "x", color=colour, alpha=0.5)
    panels[1].plot([], [], "o", color=colour, label=f"age {block.label}")
    if block.paper_checkpoint:
        panels[1].plot(
            [], [], "x", color=colour, alpha=0.5, label=f"paper {block.paper_checkpoint}"
        )


def _draw_estimate(axes: "Axes", entry: Estimate, y: float, fill: str, colour: str) -> None:
    axes.hlines(y, entry.low, entry.high, color=colour, linewidth=1.5)
    axes.plot(entry.value, y, "o", color=colour, markerfacecolor=fill, markersize=5)


def draw_healing(report: SweepReport) -> "Figure":
    """Held-out loss over healing tokens, and the order of the locations, in one figure."""
    picture = healing(report)
    if not picture.panels:
        return empty_figure(1, 1)
    figure = draw_together(picture)
    figure.suptitle(f"{report.sweep}: healing", x=0.01, ha="left", fontsize=11)
    return figure


def healing(report: SweepReport) -> PanelFigure:
    """The panels of `draw_healing`: two for every block that has curves."""
    panels: list[Panel] = []
    blocks = row_blocks(report.cells)
    names = dict.fromkeys(row.name for block in blocks for row in block.rows)
    styles = _styles([*names])  # a name has one in all panels
    for block in blocks:
        curves = {row.name: row.curve for row in block.rows if row.runs}
        if len(block.candidates) < 2 or not curves:
            continue
        if tokens := sorted(set.intersection(*map(set, curves.values()))):
            panels += _healing_panels(curves, tokens, f"Age {block.label}", styles)
    return PanelFigure(
        name=HEALING,
        caption="Healing: the held-out loss of every cell over its tokens of training, and the "
        "order of the cells at each point, without intervals." + windows(report.cells),
        panels=tuple(panels),
    )


def _healing_panels(
    curves: Mapping[str, Mapping[int, float]],
    tokens: Sequence[int],
    title: str,
    styles: Mapping[str, Mapping[str, Any]],
) -> list[Panel]:
    def loss(axes: "Axes") -> None:
        _draw_loss(axes, curves, tokens, styles)
        _finish(axes, tokens, title)

    def order(axes: "Axes") -> None:
        _draw_order(axes, curves, tokens, styles)
        _finish(axes, tokens, title)

    names = ", ".join(curves)
    return [
        Panel(alt=f"{title}: {text} {names}", draw=draw, height=max(4.2, 1.2 + 0.24 * len(curves)))
        for text, draw in (("held-out loss while healing of", loss), ("order of", order))
    ]


def _finish(axes: "Axes", tokens: Sequence[int], title: str) -> None:
    axes.set_xticks(range(len(tokens)), list(map(_short, tokens)), fontsize=SMALL)
    axes.set_xlabel(stepped_label("tokens of healing", tokens))
    axes.grid(alpha=0.3)
    axes.set_title(title, loc="left", fontsize=NORMAL)


def _draw_loss(
    axes: "Axes",
    curves: Mapping[str, Mapping[int, float]],
    tokens: Sequence[int],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """Above the base where the control shows it: before any healing it is the base."""
    base = sum(curve[tokens[0]] for name, curve in curves.items() if name == CONTROL)
    for name, curve in curves.items():
        axes.plot([curve[n] - base for n in tokens], **styles[name])
    if not base:
        axes.set_ylabel("held-out loss, nats a token")
        return
    axes.set_yscale("symlog", linthresh=0.1)
    axes.yaxis.set_major_formatter("{x:.2g}")
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_ylabel("held-out loss above the base,\nnats a token (log scale beyond ±0.1)")


def _draw_order(
    axes: "Axes",
    curves: Mapping[str, Mapping[int, float]],
    tokens: Sequence[int],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """The rank of every curve at every point, its name at the end; ties are joined in one name."""
    ranks = {
        name: [1 + sum(other[n] < curve[n] for other in curves.values()) for n in tokens]
        for name, curve in curves.items()
    }
    for name, of_name in ranks.items():
        axes.plot(of_name, **styles[name])
    for rank, label in tied(ranks, lambda name: ranks[name][-1]).items():
        colour = styles[label]["color"] if label in styles else "black"
        axes.annotate(
            _wrapped(label, 24), (1, rank), xycoords=axes.get_yaxis_transform(),
            xytext=(5, 0), textcoords="offset points", color=colour, fontsize=SMALL, va="center",
        )  # fmt: skip
    axes.invert_yaxis()
    axes.set_yticks(range(1, len(curves) + 1))
    axes.set_ylabel("order (1: lowest loss)")


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the line of each name is drawn; a control is grey."""
    others = [name for name in names if not name.startswith(CONTROL)]
    grey = {"color": GREY, "linestyle": "-", "marker": "."}
    return dict.fromkeys(names, grey) | {n: line_style(i) for i, n in enumerate(others)}


def _wrapped(text: str, width: int = 64) -> str:
    """In lines that are no longer than a figure is wide."""
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, width))


def _short(tokens: int) -> str:
    """Three digits are enough on an axis."""
    return format_tokens(int(float(f"{tokens:.3g}")))
