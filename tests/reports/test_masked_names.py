"""The loss of hidden tokens is called so in every format, and a perplexity in none."""

import csv
import dataclasses
import io
import json
import re

import pytest

from raydistill.core.serialization import from_json, to_json
from raydistill.evaluation.bootstrap import Missing
from raydistill.reports.figures.sweep import draw_drops
from raydistill.reports.formats.csv import to_csv
from raydistill.reports.formats.html import to_page
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.points import number
from raydistill.reports.trial_rows import trial_rows
from raydistill.specs.evaluation import MASKED_PERPLEXITY
from raydistill.specs.results import Scores
from raydistill.tracking.fields import drop_metrics, score_metrics
from raydistill.tracking.notes import run_note
from support import tracked_samples
from support.reported import LATE, printed, scored, sweep

PLAIN = re.compile(r"(?<!masked[ _-])perplexity")


def hiding(scores):
    return dataclasses.replace(scores, loss=MASKED_PERPLEXITY)


def masked(cell):
    result = cell.outcome.result
    sides = {"before": hiding(result.before), "after": hiding(result.after)}
    result = dataclasses.replace(result, **sides)
    return dataclasses.replace(cell, outcome=dataclasses.replace(cell.outcome, result=result))


@pytest.fixture(scope="module")
def report():
    cells = [masked(scored(place, LATE.scores.nll + 0.1)) for place in ("none", "input", "output")]
    return dataclasses.replace(
        sweep(cells), bases=(dataclasses.replace(LATE, scores=hiding(LATE.scores)),)
    )


@pytest.fixture(scope="module")
def content(report):
    return report_content(report)


def test_tables_and_pages_name_it(content):
    texts = [to_markdown(content.table), to_page([content]), printed(content.table)]
    for text in texts:
        assert "masked perplexity" in text
        assert not PLAIN.findall(text)


def test_figures_name_it(content):
    labels = [axes.get_xlabel() for axes in draw_drops(content.table).axes]
    assert labels[0].startswith("masked perplexity drop, %")


def test_columns_of_csv_and_api_name_it(content, report):
    (first, *_) = csv.DictReader(io.StringIO(to_csv([content])))
    row = trial_rows([report])[0]
    for columns in (first, row):
        assert not [name for name in columns if PLAIN.search(name)]
        assert {"masked_perplexity", "masked_perplexity_drop_pct"} <= columns.keys()
        assert float(columns["masked_perplexity"]) > 1
    assert row["base_masked_perplexity"] > 1


def test_a_perplexity_that_is_asked_for_is_not_there(content):
    point = content.points[0]
    assert number(point, "masked_perplexity").value > 1
    missing = number(point, "perplexity")
    assert isinstance(missing, Missing)
    assert missing.reason == "its held-out loss is a masked perplexity"
    assert isinstance(number(point, "perplexity_drop_pct_vs_control"), Missing)


def test_metrics_name_it():
    scores = hiding(LATE.scores)
    metrics = score_metrics(scores, ()) | drop_metrics(scores, scores, "_vs_control")
    assert not [name for name in metrics if PLAIN.search(name)]
    assert metrics["masked_perplexity_drop_pct_vs_control"] == 0
    note = run_note(tracked_samples.cell(tracked_samples.LATE, "input", None), metrics)
    assert "masked perplexity" in note
    assert f"{metrics['masked_perplexity']:.4g}" in note
    assert not PLAIN.search(note)


def test_scores_of_an_older_version_are_of_perplexity():
    fields = json.loads(to_json(LATE.scores))
    assert fields.pop("loss") == "perplexity"
    assert from_json(Scores, json.dumps(fields)) == LATE.scores
