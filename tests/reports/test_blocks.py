"""Which cells are one row, which rows are compared, and what both are called."""

import dataclasses

from raydistill.core.units import B
from raydistill.evaluation.bootstrap import Estimate
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.tables.grids import readable
from raydistill.reports.tables.points import points
from raydistill.reports.tables.table import build_table
from support.reported import LATE, TRAIN, YOUNG, cell, printed, sweep
from support.swept import arms, on_tokens, with_axes


def test_budgets_and_corpora_never_share_a_block():
    trains = [TRAIN, on_tokens(1_200_128), dataclasses.replace(TRAIN, corpus_sha256="9" * 64)]
    table = build_table(sweep([cell("input", train=train) for train in trains]))
    assert len({block.label for block in table.blocks}) == 3
    assert "Budgets differ between tables (319.488K and 1.2M tokens)" in printed(table, 200)
    assert "Texts differ between tables" in printed(table, 200)


def test_rows_are_named_by_what_differs_and_the_title_says_the_rest():
    gaps = [with_axes("input", gap=gap) for gap in (0, 100_000_000)]
    table = build_table(sweep([*gaps, with_axes("none", 4, (), gap=0)]))
    assert table.columns == ("gap 0", "gap 100M", "none")
    assert "4 of 12 layers removed, input, 319.488K tokens" in table.blocks[0].title
    two = [with_axes(location, gap=0) for location in ("input", "output")]
    assert build_table(sweep([*gaps, *two])).columns == (
        "input, gap 0",
        "input, gap 100M",
        "output, gap 0",
    )


def test_counts_are_not_compared_and_each_stands_beside_the_control():
    counts = [with_axes("input", count) for count in (2, 4)]
    table = build_table(sweep([*counts, with_axes("none", 0)]))
    assert [block.label for block in table.blocks] == ["320B, count 2", "320B, count 4"]
    for block in table.blocks:
        assert [row.name for row in block.rows] == ["input", "none"]
        assert isinstance(block.rows[0].against_control.delta_nll, Estimate)
        assert not block.rows[0].best_nll  # nothing is compared
    (joint,) = readable(table.blocks)
    assert [r.name for r in joint.rows] == ["320B, count 2", "320B, count 4", "320B, none"]
    for text in (printed(table), to_markdown(table)):
        assert text.count("320B, count 4") == 2
        assert text.count("(control)") == 1


def test_ages_ascend_whatever_came_first_and_revisions_stand_as_they_came():
    """In a table and its CSV, and in whatever is drawn from them."""
    cells = [cell(location, base) for base in (LATE, YOUNG) for location in ("input", "output")]
    report = sweep(cells, [LATE, YOUNG])
    table = build_table(report)
    assert [block.age for block in table.blocks] == ["80B", "320B"]
    assert [p.fields["age"] for p in points(report, table)] == 2 * [80 * B] + 2 * [320 * B]
    by_count = [
        dataclasses.replace(with_axes("input", count), age=base.age, values={"count": count})
        for count in (4, 2)
        for base in (LATE, YOUNG)
    ]
    labels = [block.label for block in build_table(sweep(by_count, [LATE, YOUNG])).blocks]
    assert labels == ["80B, count 4", "320B, count 4", "80B, count 2", "320B, count 2"]
    named = [dataclasses.replace(cell("input"), age=age) for age in ("step200", "step100")]
    assert [block.age for block in build_table(sweep(named)).blocks] == ["step200", "step100"]


def test_models_of_different_sizes_are_never_compared():
    small_base = dataclasses.replace(YOUNG, scale="laptop_small", age=LATE.age, num_params=300_000)
    small = dataclasses.replace(cell("input", YOUNG), scale="laptop_small", age=LATE.age)
    table = build_table(sweep([cell("input"), cell("none"), small], [LATE, small_base]))
    assert [block.label for block in table.blocks] == ["laptop, 320B", "laptop_small, 320B"]
    assert len(table.blocks[1].rows) == 1
    assert "scale laptop and laptop_small" in table.title


def test_arms_stand_in_one_block_and_show_their_tokens():
    table = build_table(sweep(arms()))
    (block,) = table.blocks
    assert [row.name for row in block.rows] == list(dict.fromkeys(c.arm for c in arms()))
    assert [row.role for row in block.rows[:3]] == ["reference", "control", "candidate"]
    assert not block.rows[0].best_nll
    assert all(isinstance(row.against_control.delta_nll, Estimate) for row in block.rows)
    text = printed(table, 200)
    assert "tokens of healing by row, data seeds 1 and 2" in text
    assert "204.8K" in text
    assert block.seeds == (1, 2)  # what no seed changes stands for every seed
    assert table.footnotes == (
        "against a control on 319.488K tokens",
        "trained once, as bases are: its training noise is not included",
    )
    of_row = {row.name: row.notes for row in block.rows}
    assert of_row["kd-equal-flops"] == of_row["one-shot"] == (1,)
    assert of_row["teacher-free"] == of_row["control"] == ()


def test_at_equal_flops_the_gaps_meet_the_removal_at_once_and_the_control():
    equal = [
        with_axes("input", gap=0, equal="tokens"),
        with_axes("input", gap=100_000_000, equal="tokens"),
        dataclasses.replace(
            with_axes("input", gap=100_000_000, equal="flops", train=on_tokens(280_576)),
            gap_tokens=2048,
        ),
        with_axes("none", 4, (), gap=0, equal="tokens"),
    ]
    equal[1] = dataclasses.replace(equal[1], gap_tokens=2048)
    tokens, flops = build_table(sweep(equal)).blocks
    assert [row.name for row in tokens.rows] == [row.name for row in flops.rows]
    assert [row.budget_tokens for row in flops.rows] == [319_488, 280_576, 319_488]
    assert (tokens.mixed_budgets, flops.mixed_budgets) == (False, True)
    assert "tokens of healing by row (equal FLOPs)" in flops.title


def test_rows_that_are_one_trial_say_so():
    twice = [cell(name, layers=(1, 2, 3, 4)) for name in ("input", "output", "middle")]
    twice[1] = dataclasses.replace(twice[1], outcome=twice[0].outcome)
    table = build_table(sweep(twice))
    notes = {row.name: [table.footnotes[n - 1] for n in row.notes] for row in table.blocks[0].rows}
    assert notes["input"] == ["the same trial as output"] + notes["middle"]
    assert notes["output"] == ["the same trial as input"] + notes["middle"]
    assert not any("the same trial" in text for text in notes["middle"])
