"""Several data seeds of a cell: one row, a wider interval, and which seeds rows share."""

import dataclasses
import math

import pytest

from raydistill.evaluation.bootstrap import Missing
from raydistill.reports.tables.table import build_table
from support.reported import FAILURE, cell, printed, row_of, sweep
from support.swept import on_seed


def width(entry):
    return entry.high - entry.low


def test_data_seeds_are_one_row_and_their_spread_widens_its_interval():
    locations = ("input", "alt-middle", "none")
    one = row_of(build_table(sweep([cell(location) for location in locations])), "320B", "input")
    same = [on_seed(location, seed) for location in locations for seed in (1, 2, 3)]
    alike = row_of(build_table(sweep(same)), "320B", "input")
    assert alike.seeds == (1, 2, 3)
    for measure in ("delta_nll", "perplexity_drop_pct", "downstream_drop_pct", "retention"):
        for reference in ("against_base", "against_control"):
            entry, alone = (getattr(getattr(r, reference), measure) for r in (alike, one))
            assert dataclasses.astuple(entry) == pytest.approx(dataclasses.astuple(alone))
    noisy = [on_seed(location, s, 0.02 * (s - 2)) for location in locations for s in (1, 2, 3)]
    spread = row_of(build_table(sweep(noisy)), "320B", "input")
    assert width(spread.against_base.delta_nll) > 2 * width(one.against_base.delta_nll)
    # the control's seeds moved as far: what seeds share cancels
    assert width(spread.against_control.delta_nll) == pytest.approx(
        width(one.against_control.delta_nll)
    )


def test_how_many_seeds_there_are_is_said():
    assert "training noise not included" in printed(build_table(sweep([cell("input")])))
    three = build_table(sweep([on_seed("input", seed, 0.01 * seed) for seed in (1, 2, 3)]))
    text = " ".join(printed(three, 200).split())
    assert "and 3 data seeds (1, 2 and 3): training noise is included." in text
    assert "data seeds 1, 2 and 3" in three.blocks[0].title


def test_a_seed_without_a_number_leaves_no_number():
    table = build_table(sweep([on_seed("input", 1), on_seed("input", 2, math.nan)]))
    assert isinstance(row_of(table, "320B", "input").against_base.delta_nll, Missing)
    assert "the held-out loss is not a number" in table.footnotes


def test_rows_with_different_seeds_are_told_apart_on_the_shared_ones():
    cells = [on_seed("alt-middle", 1), on_seed("alt-middle", 2), on_seed("both", 1)]
    cells += [on_seed("both", 2, outcome=FAILURE), on_seed("none", 1)]
    table = build_table(sweep(cells))
    (block,) = table.blocks
    assert [row.seeds for row in block.rows] == [(1,), (1, 2), (1,)]
    assert block.seeds == (1,)
    assert "the best is told on 1, which all have" in block.words[0]
    assert "Rows have different seeds" in " ".join(printed(table, 200).split())
    both, middle, control = ([table.footnotes[n - 1] for n in row.notes] for row in block.rows)
    assert both[0].startswith("data seed 2 failed in training after 3 tries")
    assert middle == ["against the control on data seed 1 only"]
    assert control == ["on data seed 1 only"]
    none_shared = [on_seed("both", 1), on_seed("middle", 2), on_seed("input", 1, outcome=FAILURE)]
    (block,) = build_table(sweep(none_shared)).blocks
    assert "no row is told apart" in block.words[0]
    assert [row.best_nll for row in block.rows] == [False, True, True]
