"""The table of an ablation: its order, its intervals, and what is told apart from the point."""

import dataclasses

import pytest

from raydistill.reports.figures.panels import draw_together
from raydistill.reports.sweep_report import report_content
from support.reported import LATE, LAYERS, TRAIN, cell, documents, sweep

LOSSES = {"point": 0.2, "lr*2": 0.21, "weight_decay=0": 0.2, "schedule=wsd": 0.1, "loss=kd": 0.15}
RECIPES = {
    "lr*2": {"peak_lr": 1.2e-3},
    "schedule=wsd": {"schedule": "wsd"},
    "weight_decay=0": {"weight_decay": 0.0},
}


def ablation(losses=LOSSES, seeds=(1, 2), location="input"):
    """A cell for each change and data seed; what chapters share is the same in all."""
    cells = []
    for change, nats in losses.items():
        for seed in seeds:
            recipe = dataclasses.replace(TRAIN.recipe, **RECIPES.get(change, {}))
            loss = "kd" if change == "loss=kd" else "lm"
            train = dataclasses.replace(TRAIN, recipe=recipe, seed=seed, loss=loss)
            values = {"age": LATE.age, "location": location, "loss": loss, "change": change}
            sample = cell(location, train=train, values=values, layers=LAYERS[location])
            split = documents(LATE.scores.nll + nats, 0.6, seed)
            outcome = dataclasses.replace(sample.outcome, documents=split)
            cells.append(dataclasses.replace(sample, outcome=outcome))
    return cells


def effects(cells):
    (section,) = report_content(sweep(cells)).findings
    return section


def test_changes_are_in_the_order_of_their_effect():
    assert [row[0] for row in effects(ablation()).rows] == [
        "schedule=wsd", "loss=kd", "lr*2", "weight_decay=0",
    ]  # fmt: skip


def test_each_is_the_paired_difference_from_the_point_on_the_same_seeds():
    rows = {row[0]: row for row in effects(ablation()).rows}
    assert rows["schedule=wsd"][1] == "-0.100 [-0.100 -0.100] !"
    assert rows["lr*2"][1] == "+0.010 [0.010 0.010] !"
    assert rows["weight_decay=0"][1] == "+0.000 [0.000 0.000]"


def test_a_change_says_from_what_to_what():
    rows = {row[0]: row[4] for row in effects(ablation()).rows}
    assert rows["lr*2"] == "peak_lr 0.0006 → 0.0012"
    assert rows["loss=kd"] == "loss lm → kd"


def test_the_title_has_the_point_and_how_often_it_was_trained():
    title = effects(ablation()).title
    assert "point: +0.20" in title
    assert "data seeds 1 and 2)" in title
    assert "training noise not included" in effects(ablation(seeds=(1,))).title


def test_a_change_without_a_seed_of_the_point_has_no_effect():
    cells = [c for c in ablation() if c.values["change"] != "lr*2" or c.train.seed == 1]
    cells = [c for c in cells if c.values["change"] != "point" or c.train.seed == 2]
    assert "lr*2" not in [row[0] for row in effects(cells).rows]


def test_each_point_has_its_own_changes():
    cells = [*ablation(), *ablation({"point": 0.3, "lr*2": 0.5}, location="middle")]
    sections = report_content(sweep(cells)).findings
    assert [len(section.rows) for section in sections] == [4, 1]
    assert sections[1].rows[0][1].startswith("+0.200")


def test_without_a_point_there_is_no_effect():
    cells = [c for c in ablation() if c.values["change"] != "point"]
    assert report_content(sweep(cells)).findings == ()


def test_rows_of_the_table_are_named_by_their_change_alone():
    names = {point.row.name for point in report_content(sweep(ablation())).points}
    assert names == set(LOSSES)


@pytest.mark.parametrize("form", ["report.md", "report.html", "report.tex"])
def test_every_format_has_the_table(form):
    from raydistill.reports.formats.all_formats import texts

    assert "Effect of each change" in texts([report_content(sweep(ablation()))])[form]


def test_the_figure_has_the_same_order_and_fills_what_is_told_apart():
    pictures = {picture.name: picture for picture in report_content(sweep(ablation())).pictures}
    (axes,) = draw_together(pictures["effects"]).axes
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks == [row[0] for row in effects(ablation()).rows]
    filled = [line.get_markerfacecolor() != "white" for line in axes.lines[1:]]
    assert filled == [True, True, True, False]
    assert axes.yaxis_inverted()


def test_only_the_point_stands_beside_the_paper():
    table = report_content(sweep(ablation())).table
    rows = {row.name: row.paper_drop_pct for block in table.blocks for row in block.rows}
    assert [name for name, paper in rows.items() if isinstance(paper, float)] == ["point"]
