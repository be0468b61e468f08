"""The notes of runs: tables of at most five lines, which MLflow does not fold."""

import dataclasses

from raydistill.tracking.notes import run_note, sweep_note
from raydistill.tracking.run_content import base_content, cell_content, sweep_content
from support.tracked_samples import LATE, base, cell, failed, fourteen_cells, measured, sweep_of


def rows(note):
    return [[part.strip() for part in line.strip("|").split("|")] for line in note.splitlines()]


def test_a_cell_shows_what_it_lost_against_base_and_control():
    control, outcome = measured(LATE, "none").result.after, measured(LATE, "input")
    note = cell_content(sweep_of(), cell(LATE, "input", outcome, control), "here").note
    head, _, *lines = rows(note)
    assert head[0] == "`■□□□□■■■■■■■` without 1 2 3 4"
    assert note.splitlines()[1] == "|---|---|---|---|"
    assert lines == [
        ["measured", "3.220", "25.03", "0.610"],
        ["lost against the base", "0.080", "8.3 %", "11.6 %"],
        ["lost against the control", "0.040", "4.1 %", "6.2 %"],
    ]


def test_a_base_shows_what_was_measured():
    _, _, line = rows(base_content(sweep_of(), base(LATE), "here").note)
    assert line[:3] == ["measured", "3.140", "23.1"]


def test_a_failure_says_why_and_a_running_cell_what_leaves():
    note = cell_content(sweep_of(), cell(LATE, "input", failed(LATE, "input", "no")), "here").note
    assert note.startswith("**Failed.** training: no\n\n`■□□□□■")
    assert run_note(cell(LATE, "input", failed(LATE, "input")), {}).endswith("without 1 2 3 4")


def test_a_sweep_shows_its_cells_the_least_loss_first_in_four_lines():
    head, _, *lines = rows(sweep_note(fourteen_cells()))
    assert head == ["cell", "Δnll"] * 3
    assert len(lines) == 4
    names = [lines[n % 4][2 * (n // 4)] for n in range(12)]
    assert names[0].startswith("control")
    assert names[-1].endswith("more: table.md")
    lost = [float(lines[n % 4][2 * (n // 4) + 1]) for n in range(11)]
    assert lost == sorted(lost)


def test_the_note_of_a_small_sweep_names_its_failures_last():
    cells = [cell(LATE, "input", failed(LATE, "input")), cell(LATE, "both", measured(LATE, "both"))]
    _, _, *lines = rows(sweep_content(sweep_of(*cells), "here").note)
    told = [tuple(line) for line in lines]
    assert told == [("both", "0.120"), ("input", "failed")]
    assert "The table follows" in sweep_note(sweep_of())


def test_data_seeds_are_told_apart_where_there_are_several():
    one = cell(LATE, "both", measured(LATE, "both"))
    train = dataclasses.replace(one.spec.train, seed=7)
    other = dataclasses.replace(one, spec=dataclasses.replace(one.spec, train=train))
    _, _, *lines = rows(sweep_note(sweep_of(one, other)))
    assert [line[0] for line in lines] == ["both seed=0", "both seed=7"]


def test_of_a_deep_model_the_heading_counts_the_layers_that_left():
    deep = dataclasses.replace(
        cell(LATE, "both", failed(LATE, "both")), layer_map="■" + "□■" * 12 + "■" * 7
    )
    assert run_note(deep, {}).endswith("■` without 12 of 32")
