"""One trial in full, and two side by side."""

import dataclasses

from raydistill.reports.tables.grids import with_interval
from raydistill.reports.tables.table import build_table
from raydistill.reports.trials import find_trial, trial_section
from raydistill.specs.results import TaskScore
from support.reported import LATE, cell, sweep


def test_a_trial_that_a_search_also_found_is_shown_on_all_documents():
    """Two trials can only be compared on the same documents; a search reports on half of them."""
    grid = sweep([cell("input")])
    searched = dataclasses.replace(grid, searched=True)
    matches = find_trial([searched, grid], grid.cells[0].trial_id)
    assert [match.report.searched for match in matches] == [False, True]


def test_a_trial_is_shown_with_the_losses_of_the_table():
    """Means over the tasks above chance at every base, as there."""
    at_chance = {"last-word": TaskScore(value=0.26, stderr=0.02, chance=0.25)}
    scores = dataclasses.replace(LATE.scores, tasks=LATE.scores.tasks | at_chance)
    report = sweep([cell("input")], [dataclasses.replace(LATE, scores=scores)])
    ((row,),) = (block.rows for block in build_table(report).blocks)
    shown = dict(trial_section(find_trial([report], report.cells[0].trial_id)).rows)
    assert shown["lost, nats/token"] == with_interval(row.against_base.delta_nll, 4)
    assert shown["lost, downstream %"] == with_interval(row.against_base.downstream_drop_pct, 2)
