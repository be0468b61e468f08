"""What the table of a sweep holds, on a made-up sweep of realistic size."""

import dataclasses

import pytest

from raydistill.core.serialization import from_json, to_json
from raydistill.evaluation.bootstrap import MIN_DOCUMENTS, DocumentScores, Missing
from raydistill.reports.figures.sweep import draw_drops, draw_healing
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.results.paper_numbers import LOCATIONS
from raydistill.reports.tables.table import Table, build_table
from raydistill.specs.results import TaskScore, UnitScores
from support.reported import FAILURE, LATE, TASKS, YOUNG, cell, printed, row_of, sweep, whole_sweep
from support.stages import reports_of


@pytest.fixture(scope="module")
def table():
    return build_table(whole_sweep())


def test_rows_stand_in_the_order_of_table_5_with_the_control_last(table):
    names = [row.name for row in table.blocks[1].rows]
    assert names == [*LOCATIONS, "block-influence", "random-0", "none"]
    assert list(table.columns) == names


def test_a_cell_stands_beside_its_base_its_control_and_the_paper(table):
    output = row_of(table, "320B", "output")
    assert output.against_base.delta_nll.value == pytest.approx(0.172, abs=0.01)
    assert output.against_control.delta_nll.value == pytest.approx(0.192, abs=0.01)
    assert output.against_base.delta_nll.low < 0.178 < output.against_base.delta_nll.high
    assert output.paper_drop_pct == 10.97
    assert isinstance(row_of(table, "320B", "block-influence").paper_drop_pct, Missing)


def test_the_best_set_is_marked_and_the_control_is_no_candidate(table):
    best = {row.name for row in table.blocks[1].rows if row.best_nll}
    assert best == {"alt-middle", "block-influence"}
    assert not row_of(table, "320B", "none").best_downstream


def test_comparing_says_how_far_it_is():
    with reports_of("comparing") as shares:
        build_table(whole_sweep())
    assert len(set(shares)) > len(LOCATIONS)  # row by row


def test_a_failed_cell_is_a_dash_with_its_reason(table):
    failed = row_of(table, "320B", "both")
    assert isinstance(failed.against_base.delta_nll, Missing)
    assert table.footnotes[failed.notes[0] - 1] == (
        "failed in training after 3 tries: the loss is not a number at 40,960 tokens"
    )
    assert "both (1)" in printed(table)


def test_the_title_leads_with_tokens_per_parameter_and_the_limits_follow(table):
    text = printed(table)
    assert text.splitlines()[1].endswith("5.6 to 22 tokens per parameter")
    assert "do not choose layers for a large model from this" in text
    assert "training noise not included" in text
    large = build_table(dataclasses.replace(whole_sweep(), small_scale=False))
    assert "large model" not in printed(large)


def test_no_extreme_of_the_paper_is_claimed_where_tasks_do_not_tell_it_apart(table):
    text = " ".join(printed(table).split())
    assert "Neither for nor against the paper (300M-320B: output loses most" in text
    assert "As in the paper (300M" not in text
    assert "A short healing does not give the order of a long one" in text


def test_the_order_of_the_cells_changes_nothing(table):
    report = whole_sweep()
    backwards = build_table(dataclasses.replace(report, cells=report.cells[::-1]))
    assert backwards.blocks == table.blocks
    assert backwards.columns == table.columns


def test_the_table_is_json_and_comes_back_equal(table):
    assert from_json(Table, to_json(table)) == table
    assert "NaN" not in to_json(table)


def without_documents(base):
    empty = UnitScores(units=(), sums=(), counts=())
    return dataclasses.replace(base, documents=DocumentScores(nll=empty, tasks={}))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (sweep([], []), "This sweep has no cells."),
        (sweep([cell("input", outcome=FAILURE)], []), "failed in training"),
        (sweep([cell("input"), cell("none")], []), "the base of this age was not evaluated"),
        (sweep([cell("input")]), "no control (location none) was finished"),
        (sweep([cell("input")], [without_documents(LATE)]), "not measured on the same held-out"),
    ],
)
def test_what_is_missing_is_said_and_nothing_crashes(report, sentence):
    table = build_table(report)
    for width in (40, 100):
        assert sentence in " ".join(printed(table, width).split())
    assert sentence in to_markdown(table).replace("\\", "")
    assert draw_drops(table).axes or not any(block.rows for block in table.blocks)
    draw_healing(report)


def weak_at(base, *tasks, value=0.28):
    weak = {task: TaskScore(value=value, stderr=0.02, chance=0.25) for task in tasks}
    scores = dataclasses.replace(base.scores, tasks=base.scores.tasks | weak)
    return dataclasses.replace(base, scores=scores)


def test_one_set_of_tasks_above_chance_at_every_base_serves_the_whole_table():
    cells = [cell("input"), cell("input", YOUNG)]
    table = build_table(sweep(cells, [weak_at(YOUNG, "last-word"), LATE]))
    assert table.tasks == ("continuation", "word-order")
    assert "two standard errors: last-word. Every mean is over the other" in printed(table, 200)
    late = row_of(table, "320B", "input").against_base.downstream_drop_pct
    over_all = row_of(build_table(sweep(cells)), "320B", "input").against_base.downstream_drop_pct
    assert late != over_all


def test_if_no_task_is_above_chance_all_are_taken_and_that_is_said():
    table = build_table(sweep([cell("input")], [weak_at(LATE, *TASKS)]))
    assert table.tasks == TASKS
    assert "so means are over all tasks" in printed(table, 200)


def test_where_all_tasks_are_at_chance_they_tell_no_cell_from_the_best():
    cells = [cell(name) for name in ("max-gap", "middle", "alt-middle")]
    (above,) = build_table(sweep(cells)).blocks
    assert not all(row.best_downstream for row in above.rows)
    (at_chance,) = build_table(sweep(cells, [weak_at(LATE, *TASKS)])).blocks
    assert all(row.best_downstream for row in at_chance.rows)
    assert any("tasks tell no location from another" in words for words in at_chance.words)


def on_few(sample, units):
    """The documents of a sample, its loss of the first `units` alone."""
    nll = sample.nll
    few = UnitScores(units=nll.units[:units], sums=nll.sums[:units], counts=nll.counts[:units])
    return dataclasses.replace(sample, nll=few)


@pytest.mark.parametrize(("units", "told"), [(MIN_DOCUMENTS - 1, False), (MIN_DOCUMENTS, True)])
def test_the_items_of_tasks_are_no_documents_of_the_loss(units, told):
    cells = [cell(location) for location in ("alt-middle", "random-0")]
    cells = [
        dataclasses.replace(c, outcome=dataclasses.replace(c.outcome, documents=on_few(d, units)))
        for c in cells
        for d in [c.outcome.documents]
    ]
    table = build_table(
        sweep(cells, [dataclasses.replace(LATE, documents=on_few(LATE.documents, units))])
    )
    assert [row.best_nll for row in table.blocks[0].rows] == [True, not told]
    assert told != any("no cell can be told apart" in words for words in table.warnings)


def test_a_task_that_one_base_lacks_is_in_no_mean():
    tasks = {name: task for name, task in LATE.scores.tasks.items() if name != "last-word"}
    without = dataclasses.replace(LATE, scores=dataclasses.replace(LATE.scores, tasks=tasks))
    table = build_table(sweep([cell("input"), cell("input", YOUNG)], [YOUNG, without]))
    assert table.tasks == ("continuation", "word-order")
    assert "Not scored at every base, so in no mean: last-word." in printed(table, 200)


def test_what_is_left_above_chance_stands_in_the_table(table):
    retention = row_of(table, "320B", "input").against_base.retention
    assert retention.low < retention.value < retention.high < 1.05
    assert f"{retention.value:.2f} [{retention.low:.2f} {retention.high:.2f}]" in printed(
        table, 200
    )
    assert "retention" in to_markdown(table)
