"""What a report says, on a made-up sweep of realistic size."""

import contextlib
import dataclasses
import io
import itertools
import math
import os
import subprocess
import sys

import pytest
from rich.console import Console

from raydistill.core.serialization import from_json, to_json
from raydistill.evaluation.bootstrap import DocumentScores, Estimate, Missing
from raydistill.reports.console.console import open_console
from raydistill.reports.console.live import RunningTrial, progress_view
from raydistill.reports.figures.sweep import draw_drops, draw_healing, save_figures
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.formats.terminal import print_table
from raydistill.reports.results.paper_numbers import LOCATIONS
from raydistill.reports.tables.grids import readable
from raydistill.reports.tables.table import Table, build_table
from raydistill.specs.results import (
    TaskScore,
    UnitScores,
)
from support.reported import (
    FAILURE,
    LATE,
    LAYERS,
    TASKS,
    TRAIN,
    YOUNG,
    cell,
    printed,
    sweep,
    whole_sweep,
)


@pytest.fixture(scope="module")
def table():
    return build_table(whole_sweep())


def row(table, age, name):
    block = next(block for block in table.blocks if block.age == age)
    return next(row for row in block.rows if row.name == name)


def test_rows_stand_in_the_order_of_table_5_with_the_control_last(table):
    names = [row.name for row in table.blocks[1].rows]
    assert names == [*LOCATIONS, "block-influence", "random-0", "none"]
    assert list(table.columns) == names


def test_a_cell_stands_beside_its_base_its_control_and_the_paper(table):
    output = row(table, "320B", "output")
    assert output.against_base.delta_nll.value == pytest.approx(0.172, abs=0.01)
    assert output.against_control.delta_nll.value == pytest.approx(0.192, abs=0.01)
    assert output.against_base.delta_nll.low < 0.178 < output.against_base.delta_nll.high
    assert output.paper_drop_pct == 10.97
    assert isinstance(row(table, "320B", "block-influence").paper_drop_pct, Missing)


def test_the_best_set_is_marked_and_the_control_is_no_candidate(table):
    best = {row.name for row in table.blocks[1].rows if row.best_nll}
    assert best == {"alt-middle", "block-influence"}
    assert not row(table, "320B", "none").best_downstream


def test_a_failed_cell_is_a_dash_with_its_reason(table):
    failed = row(table, "320B", "both")
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


def test_where_the_order_contradicts_the_paper_both_are_said(table):
    text = " ".join(printed(table).split())
    assert "(300M-320B: output loses most downstream, +10.97 %), here max-gap does" in text
    assert "A short healing does not give the order of a long one" in text


def test_the_order_of_the_cells_changes_nothing(table):
    report = whole_sweep()
    backwards = build_table(dataclasses.replace(report, cells=report.cells[::-1]))
    assert backwards.blocks == table.blocks[::-1]
    assert backwards.columns == table.columns


def test_the_table_is_json_and_comes_back_equal(table):
    assert from_json(Table, to_json(table)) == table
    assert "NaN" not in to_json(table)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_every_number_is_whole_at_every_width(table, width):
    text = printed(table, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    assert text.count("+10.97") == printed(table, 200).count("+10.97")


def test_a_file_gets_plain_lines_and_no_color_is_respected(table, monkeypatch):
    assert "\x1b" not in printed(table)
    assert "\x1b[33m" in printed(table, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in printed(table, force_terminal=True)


def test_a_closed_pipe_stops_nothing(table):
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "w", buffering=1) as pipe:
        console = open_console(pipe)
        print_table(table, console)
        assert console.quiet


def test_an_encoding_without_boxes_prints_question_marks(table):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_table(table, open_console(ascii_only))
    ascii_only.flush()
    assert b"input            ?????" in ascii_only.buffer.getvalue()


def test_markdown_says_the_same_and_escapes_what_a_name_may_hold(table):
    text = to_markdown(table)
    assert "| +10.97 |" in text
    rows = [line.count("|") for line in text.splitlines() if line.startswith("| output ")]
    assert rows == [3, 7, 5]  # layers, against the base, against the control
    strange = dataclasses.replace(cell("input"), note="<script>|")
    assert "\\<script>\\|" in to_markdown(build_table(sweep([strange])))


def without_documents(base):
    empty = UnitScores(units=(), sums=(), counts=())
    return dataclasses.replace(base, documents=DocumentScores(nll=empty, tasks={}))


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (sweep([], []), "This sweep has no cells."),
        (sweep([cell("input", outcome=FAILURE)], []), "failed in training"),
        (sweep([cell("input"), cell("none")], []), "the base of this age was not evaluated"),
        (sweep([cell("input")]), "no control (location none) was finished"),
        (sweep([cell("input")], [without_documents(LATE)]), "not measured on the same held-out"),
    ],
)
def test_what_is_missing_is_said_and_nothing_crashes(report, said):
    table = build_table(report)
    for width in (40, 100):
        assert said in " ".join(printed(table, width).split())
    assert said in to_markdown(table).replace("\\", "")
    assert draw_drops(table).axes or not any(block.rows for block in table.blocks)
    draw_healing(report)


def test_a_figure_without_data_is_not_written(tmp_path):
    assert save_figures(sweep([], []), tmp_path) == ()


def test_budgets_and_corpora_never_share_a_block():
    trains = [TRAIN, on_tokens(1_200_128), dataclasses.replace(TRAIN, corpus_sha256="9" * 64)]
    table = build_table(sweep([cell("input", train=train) for train in trains]))
    assert len({block.label for block in table.blocks}) == 3
    assert "Budgets differ between tables (319.488K and 1.2M tokens)" in printed(table, 200)
    assert "Texts differ between tables" in printed(table, 200)


def on_tokens(budget, seed=1, **changes):
    recipe = dataclasses.replace(TRAIN.recipe, budget_tokens=budget)
    return dataclasses.replace(TRAIN, recipe=recipe, seed=seed, **changes)


def asked(location, count=4, layers=None, train=TRAIN, **values):
    """A cell of a sweep with these axes beside age and location."""
    values = {"age": LATE.age, "location": location, "count": count, **values}
    layers = tuple(range(1, 1 + count)) if layers is None else layers
    return cell(location, values=values, layers=layers, train=train)


def test_rows_are_named_by_what_differs_and_the_title_says_the_rest():
    gaps = [asked("input", gap=gap) for gap in (0, 100_000_000)]
    table = build_table(sweep([*gaps, asked("none", 4, (), gap=0)]))
    assert table.columns == ("gap 0", "gap 100M", "none")
    assert "4 of 12 layers removed, input, 319.488K tokens" in table.blocks[0].title
    two = [asked(location, gap=0) for location in ("input", "output")]
    assert build_table(sweep([*gaps, *two])).columns == (
        "input, gap 0",
        "input, gap 100M",
        "output, gap 0",
    )


def test_counts_are_not_compared_and_each_stands_beside_the_control():
    counts = [asked("input", count) for count in (2, 4)]
    table = build_table(sweep([*counts, asked("none", 0)]))
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


def test_models_of_different_sizes_are_never_compared():
    small_base = dataclasses.replace(YOUNG, scale="laptop_small", age=LATE.age, num_params=300_000)
    small = dataclasses.replace(cell("input", YOUNG), scale="laptop_small", age=LATE.age)
    table = build_table(sweep([cell("input"), cell("none"), small], [LATE, small_base]))
    assert [block.label for block in table.blocks] == ["laptop, 320B", "laptop_small, 320B"]
    assert len(table.blocks[1].rows) == 1
    assert "scale laptop and laptop_small" in table.title


def arm(name, location="input", budget=319_488, seed=1, **changes):
    made = cell(location, train=on_tokens(budget, seed, loss=changes.pop("loss", "lm")))
    values = {"age": LATE.age, "location": "input", "arm": name}
    return dataclasses.replace(made, values=values, **changes)


def arms():
    return [
        arm("base", "none", budget=0, for_every_seed=True),
        *(arm("control", "none", seed=seed) for seed in (1, 2)),
        arm("one-shot", budget=0, for_every_seed=True),
        *(arm("teacher-free", seed=seed) for seed in (1, 2)),
        *(arm("kd-equal-flops", budget=204_800, seed=seed, loss="kd") for seed in (1, 2)),
        arm("scratch-with-age", seed=0, layers=(), budget=14_000_000, for_every_seed=True),
    ]


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
    assert table.footnotes == ("trained once, as bases are: its training noise is not included",)


def test_at_equal_flops_the_gaps_meet_the_removal_at_once_and_the_control():
    equal = [
        asked("input", gap=0, equal="tokens"),
        asked("input", gap=100_000_000, equal="tokens"),
        dataclasses.replace(
            asked("input", gap=100_000_000, equal="flops", train=on_tokens(280_576)),
            gap_tokens=2048,
        ),
        asked("none", 4, (), gap=0, equal="tokens"),
    ]
    equal[1] = dataclasses.replace(equal[1], gap_tokens=2048)
    tokens, flops = build_table(sweep(equal)).blocks
    assert [row.name for row in tokens.rows] == [row.name for row in flops.rows]
    assert [row.budget_tokens for row in flops.rows] == [319_488, 280_576, 319_488]
    assert (tokens.mixed_budgets, flops.mixed_budgets) == (False, True)
    assert "tokens of healing by row (equal FLOPs)" in flops.title


def on_seed(location, seed, noise=0.0, **changes):
    """The cell as another data seed would have made it, `noise` nats a token away."""
    made = cell(location, train=dataclasses.replace(TRAIN, seed=seed), **changes)
    if noise:
        split = made.outcome.documents
        nll = UnitScores(
            units=split.nll.units,
            sums=tuple(
                s + noise * n for s, n in zip(split.nll.sums, split.nll.counts, strict=True)
            ),
            counts=split.nll.counts,
        )
        moved = dataclasses.replace(split, nll=nll)
        made = dataclasses.replace(made, outcome=dataclasses.replace(made.outcome, documents=moved))
    return made


def width(entry):
    return entry.high - entry.low


def test_data_seeds_are_one_row_and_their_spread_widens_its_interval():
    locations = ("input", "alt-middle", "none")
    one = row(build_table(sweep([cell(location) for location in locations])), "320B", "input")
    same = [on_seed(location, seed) for location in locations for seed in (1, 2, 3)]
    alike = row(build_table(sweep(same)), "320B", "input")
    assert alike.seeds == (1, 2, 3)
    for lost in ("delta_nll", "perplexity_drop_pct", "downstream_drop_pct", "retention"):
        for reference in ("against_base", "against_control"):
            entry, alone = (getattr(getattr(r, reference), lost) for r in (alike, one))
            assert dataclasses.astuple(entry) == pytest.approx(dataclasses.astuple(alone))
    noisy = [on_seed(location, s, 0.02 * (s - 2)) for location in locations for s in (1, 2, 3)]
    spread = row(build_table(sweep(noisy)), "320B", "input")
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
    assert isinstance(row(table, "320B", "input").against_base.delta_nll, Missing)
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


def weak_at(base, *tasks, value=0.28):
    scored = {task: TaskScore(value=value, stderr=0.02, chance=0.25) for task in tasks}
    scores = dataclasses.replace(base.scores, tasks=base.scores.tasks | scored)
    return dataclasses.replace(base, scores=scores)


def test_one_set_of_tasks_above_chance_at_every_base_serves_the_whole_table():
    cells = [cell("input"), cell("input", YOUNG)]
    table = build_table(sweep(cells, [weak_at(YOUNG, "last-word"), LATE]))
    assert table.tasks == ("continuation", "word-order")
    assert "two standard errors: last-word. Every mean is over the other" in printed(table, 200)
    late = row(table, "320B", "input").against_base.downstream_drop_pct
    whole = row(build_table(sweep(cells)), "320B", "input").against_base.downstream_drop_pct
    assert late != whole


def test_if_no_task_is_above_chance_all_are_taken_and_that_is_said():
    table = build_table(sweep([cell("input")], [weak_at(LATE, *TASKS)]))
    assert table.tasks == TASKS
    assert "so means are over all tasks" in printed(table, 200)


def test_a_task_that_one_base_lacks_is_in_no_mean():
    tasks = {name: task for name, task in LATE.scores.tasks.items() if name != "last-word"}
    without = dataclasses.replace(LATE, scores=dataclasses.replace(LATE.scores, tasks=tasks))
    table = build_table(sweep([cell("input"), cell("input", YOUNG)], [YOUNG, without]))
    assert table.tasks == ("continuation", "word-order")
    assert "Not scored at every base, so in no mean: last-word." in printed(table, 200)


def test_what_is_left_above_chance_stands_in_the_table(table):
    kept = row(table, "320B", "input").against_base.retention
    assert kept.low < kept.value < kept.high < 1.05
    assert f"{kept.value:.2f} [{kept.low:.2f} {kept.high:.2f}]" in printed(table, 200)
    assert "retention" in to_markdown(table)


def test_figures_hold_every_location(tmp_path):
    files = save_figures(whole_sweep(), tmp_path)
    assert sorted(file.name for file in files) == [
        "drops.png",
        "drops.svg",
        "healing.png",
        "healing.svg",
    ]
    figure = draw_drops(build_table(whole_sweep()))
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == [*LOCATIONS, "block-influence", "random-0"]
    named = {text.get_text() for axes in draw_healing(whole_sweep()).axes for text in axes.texts}
    assert named == set(LAYERS) - {"both"}


def trial(tokens, nll=None):
    return RunningTrial(
        location="input",
        age="320B",
        tokens=tokens,
        total_tokens=300_000,
        tokens_per_s=7_000,
        heldout_nll=nll,
    )


def test_a_file_hears_of_every_end_and_of_the_rest_every_15_seconds():
    now_s = [0.0]
    console = Console(file=io.StringIO(), width=80)
    with progress_view(2, 600_000, console, clock=lambda: now_s[0]) as view:
        for second in range(1, 41):
            now_s[0] = second
            view.update("input", trial(7_000 * second))
        view.finished("input", "input at 320B: perplexity +23.0 %")
        view.note("waiting for a node")
    assert console.file.getvalue().splitlines() == [
        "0 of 2 trials, 105K of 600K tokens, 15 s gone, about 1 min 11 s left",
        "0 of 2 trials, 210K of 600K tokens, 30 s gone, about 56 s left",
        "[1/2] input at 320B: perplexity +23.0 %",
        "waiting for a node",
    ]


def test_a_terminal_shows_one_line_for_each_running_trial():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress_view(2, 600_000, console) as view:
        view.update("a", trial(30_000, nll=3.456))
        view.update("b", trial(60_000))
        view.finished("b", "done [bold]")
        shown = Console(file=io.StringIO(), width=80)
        shown.print(view.render())
    bar, line, running = shown.file.getvalue().splitlines()
    assert set(bar.strip()) <= set("━╸╺")
    assert line.startswith("1 of 2 trials, 330K of 600K tokens")
    assert running.split() == ["input", "320B", "30K/300K", "nll", "3.456", "7,000", "tokens/s"]
    assert "[1/2] done [bold]" in console.file.getvalue()


def test_no_time_is_promised_before_the_first_token():
    console = Console(file=io.StringIO(), width=80)
    with progress_view(1, 300_000, console, clock=itertools.count(0, 20).__next__) as view:
        view.update("a", trial(0))
    assert console.file.getvalue().startswith("0 of 1 trials")
    assert "left" not in console.file.getvalue()


def test_reading_a_table_imports_neither_matplotlib_nor_torch():
    code = (
        "import sys, raydistill.reports.formats.terminal, raydistill.reports.figures.sweep;"
        "import raydistill.reports.console.live;"
        "print(sorted({'matplotlib', 'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
