"""The figures of a sweep, and the paper's figures where a sweep has their axes."""

import dataclasses
from dataclasses import replace

from matplotlib.text import Text

from raydistill.core.units import M
from raydistill.reports.figures.panels import (
    PanelFigure,
    draw_together,
    line_style,
    stepped_label,
)
from raydistill.reports.figures.sweep import draw_drops, draw_healing, healing, save_figures
from raydistill.reports.formats.all_formats import figures
from raydistill.reports.results.paper_numbers import LOCATIONS
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.table import build_table
from support.reported import LATE, LAYERS, YOUNG, cell, sweep, whole_sweep
from support.swept import counted, crossed, gapped


def test_a_figure_without_data_is_not_written(tmp_path):
    assert save_figures(sweep([], []), tmp_path) == ()


def test_figures_hold_every_location(tmp_path):
    files = save_figures(whole_sweep(), tmp_path)
    assert sorted(file.name for file in files) == [
        "drops.png",
        "drops.svg",
        "healing.png",
        "healing.svg",
    ]
    figure = draw_drops(build_table(whole_sweep()))
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == [*LOCATIONS, "block-influence", "random-0"]
    names = {text.get_text() for axes in draw_healing(whole_sweep()).axes for text in axes.texts}
    assert names == set(LAYERS) - {"both"}


def test_no_figure_of_an_earlier_report_stays_beside_a_new_one(tmp_path):
    kept = {"pareto.svg", "mine.png", "figure-9.svg", "report.html"}
    for name in {"drops.svg", "effects.png", "figure-1.svg", "heat-map-lr-count.png", *kept}:
        (tmp_path / name).touch()
    written = figures(report_content(whole_sweep()), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, *(path.name for path in written)}
    assert (tmp_path / "drops.svg").stat().st_size
    assert not (tmp_path / "heat-map-lr-count.png").exists()


def test_every_figure_of_a_report_is_one_that_a_later_report_takes_away(tmp_path):
    of_two_axes = crossed({(n, gap * M): 0.1 * n for n in (1, 2) for gap in (0, 100)})
    for report in (counted(), gapped(), of_two_axes):
        assert figures(report_content(report), tmp_path)
    figures(report_content(sweep([], [])), tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_no_two_of_many_lines_are_drawn_alike():
    styles = [line_style(index) for index in range(36)]
    assert len({(style["color"], style["marker"]) for style in styles}) == 36
    assert len({style["color"] for style in styles[:6]}) == 6


def with_curve(sample, curve):
    result = sample.outcome.result
    trained = replace(result.trained, heldout_curve=curve)
    return replace(sample, outcome=replace(sample.outcome, result=replace(result, trained=trained)))


def test_every_line_of_thirteen_locations_and_more_is_told_apart():
    names = [f"{n},{n + 1}" for n in range(1, 16)]
    listed = [replace(cell("input"), location=n, values={"location": n}) for n in names]
    picture = healing(sweep([cell("none"), *listed]))
    for panel in picture.panels:
        (axes,) = draw_together(replace(picture, panels=(panel,))).axes
        lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert len({(line.get_color(), line.get_marker()) for line in lines}) == 16


def test_a_location_is_drawn_alike_in_every_panel():
    colours = {}
    for panel in healing(whole_sweep()).panels[1::2]:  # the order, with names at the end
        (axes,) = draw_together(PanelFigure(name="", caption="", panels=(panel,))).axes
        for text in axes.texts:
            colours.setdefault(text.get_text(), set()).add(text.get_color())
    assert {"input", "middle", "none"} <= colours.keys()
    assert {len(of_name) for of_name in colours.values()} == {1}


def test_ties_are_joined_in_one_label():
    curve = cell("input").outcome.result.trained.heldout_curve
    tied = [with_curve(cell("output"), curve), cell("input"), cell("middle"), cell("none")]
    axes = draw_together(healing(sweep(tied))).axes[1]
    assert sorted(text.get_text() for text in axes.texts) == ["input = output", "middle", "none"]
    assert len({text.xy[1] for text in axes.texts}) == 3


def test_an_axis_that_is_not_linear_says_so():
    loss, order, *_ = draw_together(healing(whole_sweep())).axes
    assert loss.get_yscale() == "symlog"
    assert "log scale" in loss.get_ylabel()
    assert loss.get_xlabel() == order.get_xlabel() == "tokens of healing (steps of equal width)"
    gaps, _ = draw_together(pictures(gapped())["figure-1"]).axes
    assert gaps.get_xlabel() == "gap between two removals (steps of equal width)"
    assert stepped_label("layers removed", (2, 4, 6)) == "layers removed"


def test_every_picture_is_read_at_400_pixels():
    """No letter is below 8 pixels there, whichever panel a page shows alone."""
    figures = [draw_drops(build_table(whole_sweep()))]
    wide = crossed({(n, g * M): 0.1 * n for n in range(1, 9) for g in (0, 100, 500)})
    for report in (whole_sweep(), gapped(), counted(), wide):
        for picture in report_content(report).pictures:
            figures += [draw_together(replace(picture, panels=(p,))) for p in picture.panels]
            figures.append(draw_together(picture))
    for figure in figures:
        texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
        smallest = min(text.get_fontsize() for text in texts)
        assert smallest * 400 / (72 * figure.get_figwidth()) >= 8


def pictures(report):
    return {picture.name: picture for picture in report_content(report).pictures}


def test_figure_1_has_the_gap_on_x_and_a_line_an_age():
    picture = pictures(gapped())["figure-1"]
    axes = draw_together(picture).axes
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["0", "100M", "1B"]
    lines = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert lines == ["age 80B", "age 320B"]
    assert [ax.get_ylabel() for ax in axes] == ["perplexity drop, %", "downstream drop, %"]


def test_figure_2_draws_every_location_in_the_order_of_table_5():
    (axes,) = draw_together(pictures(whole_sweep())["figure-2"]).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == ["max-gap", "input", "output"]
    assert "none" not in names
    assert "input 1 2 3 4" in pictures(whole_sweep())["figure-2"].panels[0].alt


def test_figure_3_has_the_count_on_x_and_a_row_a_model_size():
    small = [dataclasses.replace(cell, scale="small") for cell in counted().cells]
    bases = [*counted().bases, *(dataclasses.replace(b, scale="small") for b in (YOUNG, LATE))]
    axes = draw_together(pictures(sweep([*counted().cells, *small], bases))["figure-3"]).axes
    assert len(axes) == 4
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["2", "4", "8"]
    titles = {ax.get_legend().get_title().get_text() for ax in axes}
    assert titles == {"laptop", "small"}
