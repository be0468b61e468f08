"""The figures of a sweep, and the paper's figures where a sweep has their axes."""

import dataclasses

from raydistill.reports.figures.panels import draw_together
from raydistill.reports.figures.sweep import draw_drops, draw_healing, save_figures
from raydistill.reports.results.paper_numbers import LOCATIONS
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.table import build_table
from support.reported import LATE, LAYERS, YOUNG, sweep, whole_sweep
from support.swept import counted, gapped


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
