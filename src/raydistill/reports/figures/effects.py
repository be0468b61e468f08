"""The effects of an ablation, with their intervals, the greatest at the top."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raydistill.evaluation.bootstrap import Estimate
from raydistill.reports.figures.panels import COLOURS, GREY, NORMAL, Panel, PanelFigure
from raydistill.reports.tables.effects import Ablation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def effects_figure(ablations: Sequence[Ablation]) -> PanelFigure:
    """A panel for each point that was changed."""
    return PanelFigure(
        name="effects",
        caption="What each change does to the held-out loss, against the point itself; right is "
        "worse. Bars are 95 % intervals of paired differences; filled: told apart from the point "
        "(Holm, 5 %).",
        panels=tuple(map(_panel, ablations)),
    )


def _panel(ablation: Ablation) -> Panel:
    nats = {e.change: e.lost.delta_nll for e in ablation.effects}
    told_apart = {e.change for e in ablation.effects if e.is_told_apart}
    measured = {change: entry for change, entry in nats.items() if isinstance(entry, Estimate)}
    name = ablation.centre.row.name
    values = ", ".join(f"{change} {entry.value:+.3f}" for change, entry in measured.items())
    return Panel(
        alt=f"nats per token above {name}: {values}",
        draw=lambda axes: _draw(axes, measured, told_apart, name),
        height=1.2 + 0.28 * len(measured),
    )


def _draw(axes: "Axes", measured: Mapping[str, Estimate], told_apart: set[str], name: str) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for y, (change, entry) in enumerate(measured.items()):
        fill = COLOURS[0] if change in told_apart else "white"
        axes.hlines(y, entry.low, entry.high, color=COLOURS[0], linewidth=1.5)
        axes.plot(entry.value, y, "o", color=COLOURS[0], markerfacecolor=fill, markersize=6)
    axes.set_yticks(range(len(measured)), [*measured])
    axes.invert_yaxis()
    axes.set_xlabel("nats per token, right is worse")
    axes.set_title(f"against {name}", loc="left", fontsize=NORMAL)
    axes.grid(axis="x", alpha=0.3)
