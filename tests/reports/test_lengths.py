"""What a table says of lengths: perplexity's windows, and items that were longer than was read."""

import csv
import io
from dataclasses import replace

import pytest

from raydistill.reports.formats.csv import to_csv
from raydistill.reports.sweep_report import report_content
from raydistill.reports.tables.lengths import truncated_text
from raydistill.reports.tables.table import build_table
from raydistill.specs.results import TaskScore, Truncation
from support.reported import LATE, cell, sweep


def with_task(scores, name, truncation):
    """`scores` with a task of which so many items were truncated."""
    task = TaskScore(value=0.5, stderr=0.1, chance=0.25, truncation=truncation)
    return replace(scores, tasks={**scores.tasks, name: task})


def counted(max_length, **truncated):
    """A report whose base and cells have tasks of 50 items, of which so many were truncated."""
    made = sweep([cell("input"), cell("none")], bases=(LATE,))

    def scored(scores):
        for name, number in truncated.items():
            truncation = Truncation(max_length=max_length, items=50, truncated=number)
            scores = with_task(scores, name, truncation)
        return scores

    cells = [
        replace(
            c,
            outcome=replace(
                c.outcome, result=replace(c.outcome.result, after=scored(c.outcome.result.after))
            ),
        )
        for c in made.cells
    ]
    bases = [replace(base, scores=scored(base.scores)) for base in made.bases]
    return replace(made, cells=tuple(cells), bases=tuple(bases))


def about_lengths(table):
    return [line for line in table.warnings if line.startswith("Tasks ")]


def test_a_table_names_the_windows_of_its_perplexity():
    table = build_table(sweep([cell("input"), cell("none")], bases=(LATE,)))
    assert " in windows of 128 tokens and a mean task score" in table.blocks[0].title
    assert " in windows of 128 tokens and a mean task score" in table.blocks[0].base
    assert {row.window_tokens for block in table.blocks for row in block.rows} == {128}
    assert about_lengths(table) == [], "nothing is longer than a window, or counted"


def test_items_that_lost_their_beginning_are_counted_by_task():
    table = build_table(counted(128, boolq=49, cb=33, copa=0))
    assert about_lengths(table) == [
        "Tasks are read up to 128 tokens: longer items lost their beginning, 49 of 50 of boolq and "
        "33 of 50 of cb."
    ]
    assert about_lengths(build_table(counted(128, boolq=0))) == []
    assert about_lengths(build_table(counted(8192, boolq=0))) == [
        "Tasks are read up to 8,192 tokens: no item is longer."
    ]


def test_models_that_read_up_to_different_lengths_are_named():
    made = counted(128, boolq=49)
    other = counted(8192, boolq=0).cells[0]
    other = replace(other, values={**other.values, "reference": "mine@main"})
    table = build_table(replace(made, cells=(*made.cells, other)))
    assert about_lengths(table) == [
        "Tasks are read up to 128 tokens by laptop: longer items lost their beginning, 49 of 50 of "
        "boolq.",
        "Tasks are read up to 8,192 tokens by mine@main: no item is longer.",
    ]


def test_scores_of_before_it_was_counted_say_so():
    made = sweep([cell("input"), cell("none")], bases=(LATE,))
    old = with_task(made.bases[0].scores, "boolq", "not counted")
    table = build_table(replace(made, bases=(replace(made.bases[0], scores=old),)))
    assert about_lengths(table) == [
        "Tasks were read up to a training window's length, and nobody counted how many items were "
        "longer: boolq."
    ]


def test_a_csv_has_lengths_and_counts_in_columns_of_their_own():
    rows = list(csv.DictReader(io.StringIO(to_csv([report_content(counted(64, boolq=49, cb=0))]))))
    assert {(row["window_tokens"], row["max_length"]) for row in rows} == {("128", "64")}
    assert {(row["truncated:boolq"], row["truncated:cb"]) for row in rows} == {("49", "0")}


@pytest.mark.parametrize(
    "truncation", ["not counted", Truncation(max_length=64, items=5, truncated=0)]
)
def test_a_score_says_nothing_of_items_that_are_not_known_to_be_longer(truncation):
    assert truncated_text(truncation) == ""


def test_a_class_that_reads_otherwise_than_the_tokenizer_s_file_is_named_once():
    cells = [cell("input"), cell("none")]
    for index, name in enumerate(("GPT2Tokenizer", "")):
        result = cells[index].outcome.result
        truncation = Truncation(max_length=128, items=5, truncated=0, unlike_file=name)
        after = with_task(result.after, "boolq", truncation)
        outcome = replace(cells[index].outcome, result=replace(result, after=after))
        cells[index] = replace(cells[index], outcome=outcome)
    (line,) = about_lengths(build_table(sweep(cells, bases=(LATE,))))
    assert line.startswith("Tasks are read in tokens as transformers' GPT2Tokenizer makes them")
