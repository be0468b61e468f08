"""A report as Markdown, LaTeX and CSV, with the paper's tables where a sweep has arms."""

import csv
import dataclasses
import io
import math

import pytest

from raydistill.reports.formats import all_formats as formats
from raydistill.reports.formats.csv import spreadsheet_cell, to_csv
from raydistill.reports.formats.latex import escaped
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.table import build_table
from support.reported import FAILURE, LATE, cell, sweep, whole_sweep
from support.swept import armed


def test_markdown_says_the_same_and_escapes_what_a_name_may_hold():
    text = to_markdown(build_table(whole_sweep()))
    assert "| +10.97 |" in text
    rows = [line.count("|") for line in text.splitlines() if line.startswith("| output ")]
    assert rows == [3, 7, 5]  # layers, against the base, against the control
    strange = dataclasses.replace(cell("input"), note="<script>|")
    assert "\\<script>\\|" in to_markdown(build_table(sweep([strange])))


def test_tables_3_and_4_stand_where_there_are_arms():
    scores, costs = report_content(armed()).paper_tables
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
    (table,) = report_content(whole_sweep()).paper_tables
    assert "Table 5" in table.title


def test_latex_sets_every_character_as_it_is():
    assert escaped(r"50 % of a_b & {c} \d") == r"50 \% of a\_b \& \{c\} \textbackslash{}d"
    assert escaped("-4.8 [1 2] alt-input") == "$-$4.8 {[}1 2] alt-input"
    text = formats.as_latex([report_content(whole_sweep())])
    assert text.count("\\toprule") == text.count("\\bottomrule") > 5
    assert text.count("\\begin{tabular}") == text.count("\\caption{")


def test_a_cell_of_csv_that_a_spreadsheet_would_compute_is_quoted():
    formula = "=HYPERLINK(A1)"
    strange = dataclasses.replace(cell("input"), note=formula)
    text = to_csv([report_content(sweep([strange]))])
    assert spreadsheet_cell(formula) == f"'{formula}"
    assert all(
        not value.startswith(("=", "@", "+"))
        for line in csv.reader(io.StringIO(text))
        for value in line
    )


def test_csv_has_a_line_a_row_and_numbers_without_signs():
    lines = list(csv.DictReader(io.StringIO(to_csv([report_content(whole_sweep())]))))
    assert len(lines) == 15
    output = next(line for line in lines if line["name"] == "output")
    assert float(output["delta_nll_low"]) < float(output["delta_nll"])
    assert output["paper_downstream_drop_pct"] == "10.97"
    failed = next(line for line in lines if line["name"] == "both")
    assert (failed["delta_nll"], failed["perplexity"]) == ("", "")
    assert failed["note"].startswith("failed in training")


@pytest.mark.parametrize("form", formats.FORMATS)
def test_a_report_of_nothing_is_a_report_in_every_format(form):
    for report in (sweep([], []), sweep([cell("input", outcome=FAILURE)], [])):
        write = {"markdown": formats.as_markdown, "csv": to_csv, "latex": formats.as_latex}[form]
        text = write([report_content(report)])
        assert "nan" not in text.lower()
