"""The picture of two numeric axes: which cells it has, and which are tied for the lowest."""

import dataclasses

from matplotlib.patches import Rectangle

from raydistill.core.units import M
from raydistill.reports.figures.heat_map import heat_maps, spaced_label
from raydistill.reports.figures.panels import draw_together
from raydistill.reports.sweep_report import report_content
from raydistill.specs.results import TrialFailure
from support.reported import sweep
from support.swept import counted, crossed, gapped

LOSSES = {
    (2, 0): 0.14, (4, 0): 0.2, (8, 0): 0.4,
    (2, 500 * M): 0.15, (4, 500 * M): 0.1, (8, 500 * M): 0.1,
}  # fmt: skip
NAME = "heat-map-count-gap"


def maps(report):
    return {figure.name: figure for figure in heat_maps(report_content(report).points)}


def drawn(report):
    """The axes, and the numbers and the framed cells by column and row."""
    (axes,) = draw_together(maps(report)[NAME]).axes
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    centres = {
        (round(f.get_x() + f.get_width() / 2), round(f.get_y() + f.get_height() / 2))
        for f in frames
    }
    return axes, texts, centres


def ticks(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_two_numeric_axes_are_a_map_with_its_numbers():
    axes, texts, _ = drawn(crossed(LOSSES))
    assert (ticks(axes.xaxis), ticks(axes.yaxis)) == (["0", "500M"], ["2", "4", "8"])
    assert axes.get_xlabel() == "gap between two removals"
    assert axes.get_ylabel() == "layers removed (log spacing)"
    assert texts[0, 2].startswith("+0.40")
    assert texts[1, 0].startswith("+0.15")


def test_the_cells_that_are_tied_for_the_lowest_are_framed_and_starred():
    _, texts, framed = drawn(crossed(LOSSES))
    assert framed == {(1, 1), (1, 2)}
    assert {place for place, text in texts.items() if text.endswith("*")} == framed


def test_it_is_a_picture_of_the_report():
    assert NAME in [picture.name for picture in report_content(crossed(LOSSES)).pictures]
    assert "gap 0" not in maps(crossed(LOSSES))[NAME].panels[0].alt
    assert "0 and 8 +0.40" in maps(crossed(LOSSES))[NAME].panels[0].alt


def test_a_line_over_one_axis_is_no_map():
    cross = {place: loss for place, loss in LOSSES.items() if 0 in place or 2 in place}
    assert [maps(report) for report in (counted(), gapped(), crossed(cross))] == [{}, {}, {}]


def test_what_failed_has_no_number_and_no_frame():
    report = crossed(LOSSES, seeds=(1,))
    worst = next(c for c in report.cells if (c.values["count"], c.values["gap"]) == (8, 500 * M))
    why = {"where": "training", "message": "not a number", "traceback": "", "attempts": 3}
    failure = TrialFailure(trial_id="0" * 16, **why)
    failed = dataclasses.replace(worst, outcome=failure)
    cells = [failed if cell is worst else cell for cell in report.cells]
    _, texts, framed = drawn(sweep(cells))
    assert texts[1, 2] == "–"
    assert framed == {(1, 1)}


def test_every_other_axis_has_maps_of_its_own():
    cells = [c for loss in ("lm", "kd") for c in crossed(LOSSES, loss=loss).cells]
    titles = [
        axes.get_title("left").split("\n")[0]
        for axes in draw_together(maps(sweep(cells))[NAME]).axes
    ]
    assert sorted(titles) == ["loss kd", "loss lm"]


def test_of_many_maps_those_with_the_lowest_losses_are_shown():
    def shifted(n):
        losses = {place: loss + 0.01 * n for place, loss in LOSSES.items()}
        return crossed(losses, seeds=(1,), loss=f"kd+temperature={n}").cells

    picture = maps(sweep([cell for n in range(14, 0, -1) for cell in shifted(n)]))[NAME]
    assert len(picture.panels) == 12
    assert picture.caption.endswith("The 12 maps with the lowest losses, of 14.")
    assert "temperature=13" not in "".join(panel.alt for panel in picture.panels)


def test_an_axis_says_how_its_values_are_spaced():
    assert spaced_label("rate", (1e-4, 3e-4, 1e-3, 3e-3)) == "rate (log spacing)"
    assert spaced_label("gap", (0, 1, 10)) == "gap (steps of equal width)"
    assert spaced_label("count", (2, 4, 6)) == "count"
