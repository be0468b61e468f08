"""One trial in full, and two side by side."""

import dataclasses

from raydistill.reports.trials import find_trial
from support.reported import cell, sweep


def test_a_trial_that_a_search_also_found_is_shown_on_all_documents():
    """Two trials can only be compared on the same documents; a search reports on half of them."""
    grid = sweep([cell("input")])
    searched = dataclasses.replace(grid, searched=True)
    matches = find_trial([searched, grid], grid.cells[0].trial_id)
    assert [match.report.searched for match in matches] == [False, True]
