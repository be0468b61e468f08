"""What is said of Table 5, on scores that tell the locations apart."""

import dataclasses

import pytest

from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.results.common_tasks import TableTasks
from raydistill.reports.results.comparison import compare
from raydistill.reports.tables.sentences import beside_the_paper, paper_row
from support.reported import LATE, TASKS, TRAIN, YOUNG, cell, scored

TABLE_TASKS = TableTasks(chance=dict.fromkeys(TASKS, 0.25), at_chance=(), not_everywhere=())


def sentences_beside_the_paper(*cells):
    (block,) = row_blocks(cells)
    return beside_the_paper(block.rows, compare(block.rows, LATE, TABLE_TASKS), TABLE_TASKS)


def test_of_two_locations_one_sentence_says_all():
    (sentence,) = sentences_beside_the_paper(scored("output", 3.3, 0.5), scored("input", 3.3, 0.7))
    assert sentence.startswith("As in the paper (300M-320B: output loses most downstream, +10.97 %")
    assert "told apart from all others" in sentence
    (sentence,) = sentences_beside_the_paper(scored("output", 3.3, 0.9), scored("input", 3.3, 0.95))
    assert sentence.startswith("Neither for nor against the paper (300M-320B: output loses most")
    assert "no loss at all" in sentence


def test_both_ends_of_the_order_may_contradict_the_paper():
    cells = (("output", 0.7), ("input", 0.5), ("alt-input", 0.6))
    most, least = sentences_beside_the_paper(*(scored(name, 3.3, acc) for name, acc in cells))
    assert most.startswith("Unlike the paper (300M-320B: output loses most downstream")
    assert "here input loses more" in most
    assert least.startswith("Unlike the paper (300M-320B: alt-input loses least downstream")
    assert "here output loses less" in least


PAPERS = cell("input")


@pytest.mark.parametrize(
    ("sample", "checkpoint"),
    [
        (PAPERS, "300M-320B"),
        (cell("input", YOUNG), "300M-80B"),
        (dataclasses.replace(PAPERS, age=7_000_000_000), None),
        (dataclasses.replace(PAPERS, layers=(1, 2)), None),
        (dataclasses.replace(PAPERS, gap_tokens=2048), None),
        (dataclasses.replace(PAPERS, train=dataclasses.replace(TRAIN, loss="kd")), None),
        (dataclasses.replace(PAPERS, values={"arm": "kd"}), None),
        (dataclasses.replace(PAPERS, values={"arm": "teacher-free"}), "300M-320B"),
    ],
)
def test_the_paper_stands_beside_what_it_did(sample, checkpoint):
    """A third of the layers at once, with the LM loss alone."""
    line = paper_row(sample)
    assert (line and line.checkpoint) == checkpoint
