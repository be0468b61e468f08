"""The figure of `raydistill rank`, with four panels."""

from typing import TYPE_CHECKING

from raydistill.pruning.ranking_result import Ranking
from raydistill.reports.figures.panels import (
    COLOURS,
    GREY,
    SMALL,
    Panel,
    PanelFigure,
    line_style,
    tied,
)
from raydistill.specs.locations import RANDOM_LOCATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LONG_LABEL = 32  # letters, above which a legend has one column


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
                height=5.4,
            ),
        ),
    )


def _increase(axes: "Axes", ranking: Ranking) -> None:
    axes.bar(range(ranking.num_layers), ranking.loss_increase, color=COLOURS[0])
    axes.set_yscale("symlog", linthresh=0.01)
    _label_axes(
        axes, "layer that is skipped", "loss increase, nats per token\n(log scale above 0.01)"
    )


def _influence(axes: "Axes", ranking: Ranking) -> None:
    axes.bar(range(ranking.num_layers), ranking.block_influence, color=COLOURS[2])
    _label_axes(axes, "layer", "block influence, 1 − cos")


def _spans(axes: "Axes", ranking: Ranking) -> None:
    for index, (length, distances) in enumerate(ranking.spans.items()):
        axes.plot(distances, **line_style(index), label=f"{length} layers")
    axes.legend(fontsize=SMALL)
    _label_axes(axes, "first layer of the span", "angular distance")


def _locations(axes: "Axes", ranking: Ranking) -> None:
    """Lines over counts; the random sets are grey, and locations that lose the same are one."""
    losses: dict[str, tuple[float, ...]] = {}
    for cut in ranking.cuts:
        losses[cut.location] = (*losses.get(cut.location, ()), cut.nll - ranking.base_nll)
    rules = tied((name for name in losses if name not in RANDOM_LOCATIONS), losses.__getitem__)
    for name in RANDOM_LOCATIONS:
        label = "random sets" if name == RANDOM_LOCATIONS[0] else None
        axes.plot(ranking.counts, losses[name], ":", color=GREY, marker=".", label=label)
    for index, (nats, label) in enumerate(rules.items()):
        axes.plot(ranking.counts, nats, **line_style(index), label=label)
    axes.set_xticks(ranking.counts)
    columns = 2 if max(map(len, rules.values())) < LONG_LABEL else 1
    axes.legend(fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns)
    _label_axes(axes, "layers that leave", "one-shot loss above the whole model,\nnats per token")


def _label_axes(axes: "Axes", x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", alpha=0.3)
