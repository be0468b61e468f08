"""Rows against base, control and the best, on scores that tell the measures apart."""

import dataclasses
import itertools

import pytest

from raydistill.evaluation.bootstrap import Missing
from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.results.common_tasks import TableTasks
from raydistill.reports.results.comparison import (
    Losses,
    compare,
    excesses,
    failure_reason,
    shared_seeds,
    tied_by_tasks,
)
from raydistill.reports.tables.table import build_table
from raydistill.specs.results import TrialFailure
from support.reported import (
    FAILURE,
    LATE,
    TASKS,
    YOUNG,
    cell,
    documents,
    printed,
    scored,
    sweep,
)

TABLE_TASKS = TableTasks(chance=dict.fromkeys(TASKS, 0.25), at_chance=(), not_everywhere=())
AT_CHANCE = dataclasses.replace(TABLE_TASKS, at_chance=TASKS)


def compared(*cells, tasks=TABLE_TASKS):
    """By row, its comparison."""
    (block,) = row_blocks(cells)
    rows = compare(block.rows, LATE, tasks)
    return {cells.name: row for cells, row in zip(block.rows, rows, strict=True)}


def best(comparisons, measure):
    return {name for name, row in comparisons.items() if getattr(row, measure)}


def test_the_best_by_tasks_are_those_with_the_highest_mean():
    """The best by loss is the worst by tasks, and the control is better than all."""
    rows = compared(
        scored("input", 3.2, 0.5), scored("output", 3.4, 0.7), scored("middle", 3.4, 0.7),
        scored("max-gap", 3.3, 0.6), scored("none", 3.1, 0.8),
    )  # fmt: skip
    assert best(rows, "best_downstream") == {"output", "middle"}
    assert best(rows, "best_nll") == {"input"}


def test_one_of_more_than_a_hundred_is_the_best():
    worse = scored("middle", 3.4, 0.5)
    others = [
        dataclasses.replace(worse, location=name, values=worse.values | {"location": name})
        for name in (f"random-{number}" for number in range(119))
    ]
    rows = compared(scored("input", 3.2, 0.7), *others)
    assert best(rows, "best_nll") == best(rows, "best_downstream") == {"input"}


def test_nobody_is_the_best_of_one():
    rows = compared(scored("input", 3.2), scored("none", 3.1))
    assert best(rows, "best_nll") == best(rows, "best_downstream") == set()


def test_a_failed_row_is_never_the_best():
    rows = compared(scored("input", 3.2), scored("middle", 3.4), cell("output", outcome=FAILURE))
    assert best(rows, "best_nll") == {"input"}


def test_rows_without_a_seed_in_common_are_not_told_apart():
    cells = [scored("input", 3.0, 0.7, seed=1), scored("middle", 3.5, 0.5, seed=2)]
    rows = compared(*cells, scored("output", 3.5, 0.5, seed=2))
    assert best(rows, "best_nll") == {"input", "middle", "output"}
    assert best(rows, "best_downstream") == {"input", "middle", "output"}
    both = compared(*cells, scored("middle", 3.5, 0.5, seed=1))
    assert best(both, "best_nll") == {"input"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_two_controls_the_one_without_a_teacher_counts(order):
    cells = [scored("input", 3.5), scored("none", 3.0, loss="kd"), scored("none", 3.2)]
    rows = compared(*(cells[index] for index in order))
    (row,) = [row for name, row in rows.items() if name.startswith("input")]
    assert row.against_control.delta_nll.value == pytest.approx(0.3, abs=1e-4)


def test_a_cell_and_its_control_are_compared_on_the_seeds_of_both():
    rows = compared(
        scored("input", 3.5, seed=1), scored("input", 3.7, seed=2), scored("input", 9.0, seed=3),
        scored("none", 3.2, seed=2), scored("none", 3.2, seed=1),
    )  # fmt: skip
    row = rows["input"]
    assert row.control_seeds == (1, 2)
    assert row.against_control.delta_nll.value == pytest.approx(0.4, abs=1e-4)
    before = LATE.documents.nll.value
    of_three = (3.5 + 3.7 + 9.0) / 3
    nll = documents(of_three, 0.6, 0).nll.value
    assert row.against_base.delta_nll.value == pytest.approx(nll - before, abs=1e-4)


def test_a_control_on_other_data_seeds_is_none():
    report = sweep([scored("input", 3.5, seed=1), scored("none", 3.2, seed=2)])
    row = compared(*report.cells)["input"]
    assert row.control_seeds == ()
    reason = "no control was finished with the same data seed"
    assert row.against_control.delta_nll == Missing(reason=reason)
    assert reason in " ".join(printed(build_table(report)).split())


def runs(*cells):
    (block,) = row_blocks(cells)
    (row,) = block.rows
    return Losses(runs=row.runs)


def test_pairs_are_compared_on_the_seeds_of_both_or_not_at_all():
    two_seeds = runs(scored("input", 3.5, seed=1), scored("input", 9.0, seed=2))
    on_base = dataclasses.replace(two_seeds, base=LATE.documents)
    middle = runs(scored("middle", 3.6, seed=1))
    pairs = {
        "worse": (two_seeds, middle),
        "better": (middle, two_seeds),
        "the same": (middle, middle),
        "of another seed": (two_seeds, runs(scored("output", 3.6, seed=3))),
        "what was lost": (two_seeds, dataclasses.replace(middle, base=LATE.documents)),
        "of another base": (on_base, dataclasses.replace(middle, base=YOUNG.documents)),
    }
    by_name = excesses(pairs)
    nats = {name: excess.nats.value for name, excess in by_name.items()}
    late, young = LATE.documents.nll.value, YOUNG.documents.nll.value
    assert nats == pytest.approx(
        {
            "worse": 0.1, "better": -0.1, "the same": 0.0, "what was lost": 0.1 - late,
            "of another base": 0.1 + late - young,
        },
        abs=1e-4,
    )  # fmt: skip
    assert {name: by_name[name].sign for name in ("worse", "better", "the same")} == {
        "worse": 1, "better": -1, "the same": 0,
    }  # fmt: skip
    assert str(by_name["worse"]) == "+0.100 [0.100 0.100]"


def test_seeds_that_all_rows_finished_are_shared():
    (block,) = row_blocks(
        [
            scored("input", 3.5, seed=1), scored("input", 3.5, seed=2),
            scored("middle", 3.6, seed=1), cell("output", outcome=FAILURE),
        ]
    )  # fmt: skip
    assert shared_seeds(block.rows) == (1,)
    assert shared_seeds(block.rows[:0]) == ()


def test_the_ends_of_an_order_by_tasks_are_its_best_and_its_worst():
    cells = [
        scored("input", 3.2, 0.5), scored("output", 3.4, 0.7), scored("middle", 3.4, 0.7),
        scored("max-gap", 3.3, 0.6),
    ]  # fmt: skip
    (block,) = row_blocks(cells)
    chance = TABLE_TASKS.chance
    assert tied_by_tasks(block.rows, chance, worst=False) == {"output", "middle"}
    assert tied_by_tasks(block.rows, chance, worst=True) == {"input"}
    (uneven,) = row_blocks([*cells, scored("max-gap", 3.3, 0.6, seed=2)])
    assert tied_by_tasks(uneven.rows, chance, worst=True) == {row.name for row in uneven.rows}


def test_tasks_at_chance_tell_no_row_from_the_best():
    cells = [scored("input", 3.2, 0.5), scored("output", 3.4, 0.7)]
    rows = compared(*cells, tasks=AT_CHANCE)
    assert best(rows, "best_downstream") == {"input", "output"}
    assert best(rows, "best_nll") == {"input"}


@pytest.mark.parametrize(
    ("message", "attempts", "reason"),
    [
        ("no room\nmore", 1, "failed in training after 1 try: no room"),
        ("\n no room ", 3, "failed in training after 3 tries: no room"),
        (" ", 2, "failed in training after 2 tries: no message"),
    ],
)
def test_why_a_cell_failed_is_one_line(message, attempts, reason):
    failure = TrialFailure(
        trial_id="f" * 16, where="training", message=message, traceback="", attempts=attempts
    )
    assert failure_reason(failure) == reason


def test_a_base_that_was_not_measured_is_said():
    (block,) = row_blocks([scored("input", 3.5)])
    (row,) = compare(block.rows, None, TABLE_TASKS)
    assert row.against_base.delta_nll == Missing(reason="the base of this age was not evaluated")
