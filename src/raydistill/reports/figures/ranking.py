"""The figure of `raydistill rank`, with four panels."""

from typing import TYPE_CHECKING

from raydistill.pruning.ranking_result import Ranking
from raydistill.reports.figures.panels import COLOURS, GREY, Panel, PanelFigure, line_style
from raydistill.specs.locations import RANDOM_LOCATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ranking_figure(ranking: Ranking) -> PanelFigure:
    """Three measures of the layers, and the locations."""
    return PanelFigure(
        name="rank",
        caption=f"{ranking.model}: which layers matter, without any training.",
        panels=(
            Panel(alt="loss increase by layer", draw=lambda axes: _increase(axes, ranking)),
            Panel(alt="block influence by layer", draw=lambda axes: _influence(axes, ranking)),
            Panel(alt="angular distance of spans", draw=lambda axes: _spans(axes, ranking)),
            Panel(
                alt="one-shot perplexity of every location by count",
                draw=lambda axes: _locations(axes, ranking),
                height=4.2,
                width=6.4,
            ),
        ),
    )


def _increase(axes: "Axes", ranking: Ranking) -> None:
    axes.bar(range(ranking.num_layers), ranking.loss_increase, color=COLOURS[0])
    axes.set_yscale("symlog", linthresh=0.01)
    _label_axes(axes, "layer that is skipped", "loss increase, nats per token")


def _influence(axes: "Axes", ranking: Ranking) -> None:
    axes.bar(range(ranking.num_layers), ranking.block_influence, color=COLOURS[2])
    _label_axes(axes, "layer", "block influence, 1 − cos")


def _spans(axes: "Axes", ranking: Ranking) -> None:
    for index, (length, distances) in enumerate(ranking.spans.items()):
        axes.plot(distances, marker=".", color=line_style(index)[0], label=f"{length} layers")
    axes.legend(fontsize=8)
    _label_axes(axes, "first layer of the span", "angular distance")


def _locations(axes: "Axes", ranking: Ranking) -> None:
    """Lines over counts; the random sets are grey."""
    names = list(dict.fromkeys(cut.location for cut in ranking.cuts))
    rules = [name for name in names if name not in RANDOM_LOCATIONS]
    for name in names:
        nats = [cut.nll - ranking.base_nll for cut in ranking.cuts if cut.location == name]
        colour, dashes = line_style(rules.index(name)) if name in rules else (GREY, ":")
        label = name if name in rules else "random sets" if name == RANDOM_LOCATIONS[0] else None
        axes.plot(ranking.counts, nats, dashes, color=colour, marker=".", label=label)
    axes.set_xticks(ranking.counts)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _label_axes(axes, "layers that leave", "one-shot loss above the whole model,\nnats per token")


def _label_axes(axes: "Axes", x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", alpha=0.3)
