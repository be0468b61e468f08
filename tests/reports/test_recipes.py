"""Runs of several recipes in one report: nothing is claimed across them."""

import dataclasses

from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.reports.results.records import (
    BaseRecord,
    CellRecord,
    ReportRecords,
    SweepHeader,
    assemble,
)
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.custom import TableRequest, custom_tables
from raydistill.reports.tables.grids import against_base, against_control
from raydistill.reports.tables.table import build_table
from raydistill.specs.trial import SCRATCH
from support.reported import LATE, TRAIN, cell, sweep
from support.swept import arm

ABOUT = SweepHeader(sweep="s", question="?", scale="laptop", small_scale=True, searched=False)
BASE = LATE.scores.weights_sha256


def assembled(cells):
    """The report of cells whose records several people left."""
    (report,) = assemble(
        ReportRecords(
            bases=(BaseRecord(about=ABOUT, base=LATE),),
            cells=tuple(CellRecord(about=ABOUT, base_sha256=BASE, cell=c) for c in cells),
        )
    )
    return report


def at_rate(peak_lr, sample):
    recipe = dataclasses.replace(sample.train.recipe, peak_lr=peak_lr)
    return dataclasses.replace(sample, train=dataclasses.replace(sample.train, recipe=recipe))


FASTER = dataclasses.replace(TRAIN, recipe=dataclasses.replace(TRAIN.recipe, peak_lr=1e-3))


def test_rows_of_several_recipes_are_not_compared_and_each_block_names_its_own():
    rows = ("input", "random-0", "none")
    both = [cell(name, train=train) for name in rows for train in (TRAIN, FASTER)]
    report = assembled(both)
    table = build_table(report)
    labels = ["320B, peak_lr 0.0006", "320B, peak_lr 0.001"]
    assert (
        "Recipes differ between tables (peak_lr 0.0006 and peak_lr 0.001): compare within one only."
        in table.warnings
    )
    assert [block.label for block in table.blocks] == labels
    for block, label in zip(table.blocks, labels, strict=True):
        assert [row.name for row in block.rows] == list(rows)
        assert label.partition(", ")[2] in block.title
        assert [row.best_nll for row in block.rows] == [True, False, False]
        assert isinstance(block.rows[0].against_control.delta_nll, Estimate)
    tables = custom_tables([report], TableRequest(rows="location", cols="age"))
    assert [len(table.grid.rows) for table in tables] == [3, 3]
    assert ["peak_lr 0.0006" in table.caption for table in tables] == [True, False]


def test_rows_with_controls_of_their_own_have_no_star_against_the_control():
    def at(peak_lr, name):
        sample = cell(name, values={"location": name, "lr": peak_lr})
        of_its_own = dataclasses.replace(sample.outcome.documents)
        outcome = dataclasses.replace(sample.outcome, documents=of_its_own)
        return at_rate(peak_lr, dataclasses.replace(sample, outcome=outcome))

    def stars(cells):
        (block,) = build_table(sweep(cells)).blocks
        sections = (against_base(block), against_control(block))
        return ["*" in str(section.rows) for section in sections], sections[1].title

    one = [at(6e-4, name) for name in ("input", "random-0", "none")]
    assert stars(one)[0] == [True, True]
    shown, title = stars([*one, at(1e-3, "input"), at(1e-3, "none")])
    assert shown == [True, False]
    assert "rows have controls of their own, so no star" in title


def test_recipes_that_differ_with_the_location_are_not_compared_either():
    cells = [cell("alt-middle"), cell("random-0", train=FASTER)]
    own, other = build_table(assembled(cells)).blocks
    assert [len(block.rows) for block in (own, other)] == [1, 1]
    assert "peak_lr 0.0006" in own.title


def test_a_strong_weight_decay_is_told_of_what_starts_from_a_base():
    recipe = dataclasses.replace(TRAIN.recipe, weight_decay=0.1)
    train = dataclasses.replace(TRAIN, recipe=recipe)
    strong = cell("input", train=train)
    scratch = dataclasses.replace(strong, start=SCRATCH)
    warned = [w for w in build_table(sweep([strong, cell("none")])).warnings if "decay" in w]
    assert len(warned) == 1
    assert warned[0].startswith("Weight_decay 0.1 of lion takes 10 % of every weight matrix a step")
    for fine in (cell("input"), scratch):
        warnings = build_table(sweep([fine, cell("none")])).warnings
        assert not any("decay" in warning for warning in warnings)


def test_rates_of_a_sweep_s_own_axis_are_compared():
    cells = [
        at_rate(factor * 1e-3, cell("input", values={"location": "input", "lr_factor": factor}))
        for factor in (1, 2)
    ]
    (block,) = build_table(assembled(cells)).blocks
    assert [row.name for row in block.rows] == ["lr_factor 1", "lr_factor 2"]


def test_a_control_stands_beside_the_recipe_that_has_it_alone():
    cells = [cell("input"), cell("none"), cell("input", train=FASTER)]
    report = assembled(cells)
    own, other = build_table(report).blocks
    assert [row.name for row in own.rows] == ["input", "none"]
    assert [row.name for row in other.rows] == ["input"]
    assert isinstance(other.rows[0].against_control.delta_nll, Missing)


def test_arms_of_two_recipes_are_two_blocks_and_scratch_is_in_both():
    slow = [arm("teacher-free"), arm("kd", "middle", loss="kd")]
    fast = [arm("teacher-free", "output"), arm("kd", loss="kd")]
    fast = [at_rate(1e-3, sample) for sample in fast]
    scratch = at_rate(5e-3, arm("scratch", "random-0", start=SCRATCH, layers=()))
    report = assembled([*slow, *fast, scratch])
    blocks = build_table(report).blocks
    assert len(blocks) == 2
    for block in blocks:
        names = [row.name.split(", peak_lr ") for row in block.rows]
        assert [name for name, _ in names] == ["teacher-free", "kd", "scratch"]
        assert len({peak_lr for _, peak_lr in names[:2]}) == 1
        assert names[2][1] == "0.005"
    table_3, _ = report_content(report).paper_tables
    rows = [row[0] for row in table_3.rows if not row[0].startswith(("paper", "before"))]
    assert len(set(rows)) == len(rows) == 5
