"""Tables and figures of a sweep in the paper's layout, in every format, and tables of one's own."""

import csv
import dataclasses
import io
import math

import pytest

from raydistill.core.errors import UsageError
from raydistill.reports.formats import all_formats as formats
from raydistill.reports.formats.csv import to_csv
from raydistill.reports.formats.latex import escaped
from raydistill.reports.sweep_report import chapter
from raydistill.reports.tables.custom import Ask, free_tables
from raydistill.reports.trials import find_trial, trial_id
from support.reported import FAILURE, LATE, TRAIN, YOUNG, cell, sweep, whole_sweep

GAPS = {0: "alt-middle", 100_000_000: "input", 1_000_000_000: "middle"}
COUNTS = {2: "alt-middle", 4: "input", 8: "random-0"}
ARMS = {"control": "none", "teacher-free": "middle", "kd": "input"}


def named(made, start, layers=(1, 2, 3, 4), location="input", **values):
    """A cell of the samples, asked for in other words."""
    boxes = "".join("□" if layer in layers else "■" for layer in range(12))
    return dataclasses.replace(
        made,
        location=location,
        layers=layers,
        layer_map=boxes,
        values={"age": start.age, **values},
    )


def both_ages(make):
    return [made for start in (YOUNG, LATE) for made in make(start)]


def counted():
    def cells(start):
        for count, sample in COUNTS.items():
            yield named(cell(sample, start), start, tuple(range(1, 1 + count)), count=count)
        yield named(cell("none", start), start, (), "none", count=0)

    return sweep(both_ages(cells))


def gapped():
    def cells(start):
        for gap, sample in GAPS.items():
            made = dataclasses.replace(cell(sample, start), gap_tokens=gap // 62_500)
            yield named(made, start, gap=gap)

    return sweep(both_ages(cells))


def armed():
    return sweep(
        [
            named(cell(sample), LATE, () if arm == "control" else (1, 2, 3, 4), arm=arm)
            for arm, sample in ARMS.items()
        ],
        [LATE],
    )


def pictures(report):
    return {picture.name: picture for picture in chapter(report).pictures}


def test_figure_1_has_the_gap_on_x_and_a_line_an_age():
    picture = pictures(gapped())["figure-1"]
    axes = formats.together(picture).axes
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["0", "100M", "1B"]
    named_lines = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert named_lines == ["age 80B", "age 320B"]
    assert [each.get_ylabel() for each in axes] == ["perplexity drop, %", "downstream drop, %"]


def test_figure_2_draws_every_location_in_the_order_of_table_5():
    (axes,) = formats.together(pictures(whole_sweep())["figure-2"]).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == ["max-gap", "input", "output"]
    assert "none" not in names
    assert "input 1 2 3 4" in pictures(whole_sweep())["figure-2"].panels[0].alt


def test_figure_3_has_the_count_on_x_and_a_row_a_model_size():
    small = [dataclasses.replace(made, scale="small") for made in counted().cells]
    bases = [*counted().bases, *(dataclasses.replace(b, scale="small") for b in (YOUNG, LATE))]
    axes = formats.together(pictures(sweep([*counted().cells, *small], bases))["figure-3"]).axes
    assert len(axes) == 4
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["2", "4", "8"]
    titles = {each.get_legend().get_title().get_text() for each in axes}
    assert titles == {"laptop", "small"}


def test_tables_3_and_4_stand_where_there_are_arms():
    scores, costs = chapter(armed()).paper_tables
    assert scores.headers == (
        "method", "model", "continuation", "last-word", "word-order", "mean", "perplexity",
    )  # fmt: skip
    methods = [row[0] for row in scores.rows]
    assert methods[0] == "before removal"
    assert {"teacher-free", "kd", "control", "paper, kd"} <= set(methods)
    base = scores.rows[0]
    assert float(base[-1]) == pytest.approx(math.exp(LATE.scores.nll), rel=1e-3)
    ratios = {row[0]: row[4] for row in costs.rows}
    assert ratios["teacher-free"] == "1.00x"
    assert ratios["paper, kd"] == "1.61x"  # of the 1.1B model, Table 4


def test_a_sweep_over_locations_has_table_5_alone():
    (table,) = chapter(whole_sweep()).paper_tables
    assert "Table 5" in table.title


def test_latex_sets_every_character_as_it_is():
    assert escaped(r"50 % of a_b & {c} \d") == r"50 \% of a\_b \& \{c\} \textbackslash{}d"
    assert escaped("-4.8 [1 2] alt-input") == "$-$4.8 {[}1 2] alt-input"
    text = formats.as_latex([chapter(whole_sweep())])
    assert text.count("\\toprule") == text.count("\\bottomrule") > 5
    assert text.count("\\begin{tabular}") == text.count("\\caption{")


def test_csv_has_a_line_a_row_and_numbers_without_signs():
    lines = list(csv.DictReader(io.StringIO(to_csv([chapter(whole_sweep())]))))
    assert len(lines) == 15
    output = next(line for line in lines if line["name"] == "output")
    assert float(output["delta_nll_low"]) < float(output["delta_nll"])
    assert output["paper_downstream_drop_pct"] == "10.97"
    failed = next(line for line in lines if line["name"] == "both")
    assert (failed["delta_nll"], failed["perplexity"]) == ("", "")
    assert failed["note"].startswith("failed in training")


def test_a_table_of_one_s_own_has_its_rows_columns_and_sentence():
    (table,) = free_tables([counted()], Ask(rows="count", cols="age"))
    assert table.grid.headers == ("count \\ age", "80B", "320B")
    assert [row[0] for row in table.grid.rows] == ["2", "4", "8"]
    assert " ± " in table.grid.rows[0][1]
    assert "location input" in table.caption
    assert "training noise not included" in table.caption


@pytest.mark.parametrize(
    ("metric", "shows"),
    [
        ("downstream_drop_pct_vs_control", "+"),
        ("perplexity", "35"),
        ("task:last-word", "0."),
        ("train_s", "40"),
    ],
)
def test_any_measure_may_be_in_its_cells(metric, shows):
    (table,) = free_tables([counted()], Ask(rows="count", cols="age", metric=metric))
    assert table.grid.rows[0][1].startswith(shows)


def test_budgets_are_never_mixed_in_a_table():
    longer = dataclasses.replace(TRAIN.recipe, budget_tokens=1_200_128)
    late = dataclasses.replace(TRAIN, recipe=longer)
    report = sweep([cell("input"), cell("middle"), cell("input", train=late)])
    tables = free_tables([report], Ask(rows="location", cols="age"))
    assert [len(table.grid.rows) for table in tables] == [2, 1]
    assert "budget 319.488K" in tables[0].caption
    assert "budget 1.2M" in tables[1].caption


def test_what_is_missing_in_a_table_is_a_dash_with_its_reason():
    report = sweep([cell("input"), cell("middle", outcome=FAILURE)])
    (table,) = free_tables([report], Ask(rows="location", cols="age"))
    assert ("middle", "–") in table.grid.rows
    assert "– failed in training after 3 tries" in table.caption


def test_seeds_may_be_told_one_by_one():
    second = dataclasses.replace(TRAIN, seed=2)
    report = sweep([cell("input"), cell("input", train=second)])
    one, two = free_tables([report], Ask(rows="location", cols="age", seeds="each"))
    assert "Over data seed 1" in one.caption
    assert "Over data seed 2" in two.caption


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"rows": "locatoin", "cols": "age"}, "Did you mean 'location'"),
        ({"rows": "location", "cols": "age", "metric": "delta_nl"}, "Did you mean 'delta_nll'"),
        ({"rows": "location", "cols": "age", "where": {"age": "7B"}}, "no cell has"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_the_nearest(ask, said):
    with pytest.raises(UsageError, match=said):
        free_tables([whole_sweep()], Ask(**ask))


@pytest.mark.parametrize("form", formats.FORMATS)
def test_a_report_of_nothing_is_a_report_in_every_format(form):
    for report in (sweep([], []), sweep([cell("input", outcome=FAILURE)], [])):
        made = [chapter(report)]
        text = {"markdown": formats.as_markdown, "csv": to_csv, "latex": formats.as_latex}[form](
            made
        )
        assert "nan" not in text.lower()


def test_a_trial_that_a_search_also_found_is_shown_on_all_documents():
    """Two trials can only be compared on the same documents; a search reports on half of them."""
    grid = sweep([cell("input")])
    searched = dataclasses.replace(grid, searched=True)
    found = find_trial([searched, grid], trial_id(grid.cells[0]))
    assert [each.report.searched for each in found] == [False, True]
