"""The view of a running sweep, on a terminal and in a file."""

import io
import itertools
from dataclasses import replace

from rich.console import Console

from raydistill.reports.console.live import RunningTrial, progress_view


def trial(tokens, nll=None):
    return RunningTrial(
        location="input",
        age="320B",
        tokens=tokens,
        total_tokens=300_000,
        tokens_per_s=7_000,
        heldout_nll=nll,
    )


def test_a_file_gets_every_end_at_once_and_progress_every_15_seconds():
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


def test_the_time_left_is_told_from_a_pace_of_seconds_and_without_the_start():
    now_s = [0.0]
    console = Console(file=io.StringIO(), width=80)
    with progress_view(2, 600_000, console, clock=lambda: now_s[0]) as view:
        for second in (20, 21, 22, 26, 40):  # Ray and torch began
            now_s[0] = second
            view.update("input", trial(1_000 * (second - 19)))
            view.note(f"{second}")
    assert console.file.getvalue().splitlines() == [
        *("0 of 2 trials, 1K of 600K tokens, 20 s gone", "20", "21", "22", "26"),
        "0 of 2 trials, 21K of 600K tokens, 40 s gone, about 9 min 39 s left",
        "40",
    ]
    now_s, shown = [0.0], Console(file=io.StringIO(), width=80)
    live = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress_view(2, 600_000, live, clock=lambda: now_s[0]) as view:
        for second in (20, 22, 26):
            now_s[0] = second
            view.update("input", trial(1_000 * (second - 19)))
            shown.print(view.render())
    lines = [line for line in shown.file.getvalue().splitlines() if "gone" in line]
    assert [line.partition(" gone")[2] for line in lines] == ["", "", ", about 9 min 53 s left"]


def test_a_sweep_that_trains_nothing_is_measured_by_what_it_measures():
    now_s = [0.0]
    console = Console(file=io.StringIO(), width=80)
    one_shot = replace(trial(0), total_tokens=0, stage="measuring: boolq")
    with progress_view(4, 0, console, measured_tokens=1_000_000, clock=lambda: now_s[0]) as view:
        for tenth in range(1, 11):
            now_s[0] += 3
            view.update("input", replace(one_shot, share=tenth / 10, measured=tenth / 10))
        view.finished("input", "input at 320B: perplexity +23.0 %")
    assert console.file.getvalue().splitlines() == [
        "0 of 4 trials, 15 s gone, about 1 min 45 s left",
        "0 of 4 trials, 30 s gone, about 1 min 30 s left",
        "[1/4] input at 320B: perplexity +23.0 %",
    ]


def test_the_time_left_counts_what_is_measured_after_training():
    now_s = [0.0]
    console = Console(file=io.StringIO(), width=80)
    with progress_view(
        2, 600_000, console, measured_tokens=900_000, clock=lambda: now_s[0]
    ) as view:
        for second in range(1, 31):
            now_s[0] = second
            view.update("input", trial(10_000 * second))
    # as many tokens are read to measure a trial as are read and learnt from to train it
    assert console.file.getvalue().splitlines()[-1].endswith("30 s gone, about 1 min 30 s left")


def test_a_trial_that_measures_says_what_and_how_far():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress_view(2, 0, console, measured_tokens=10) as view:
        one_shot = replace(trial(0), total_tokens=0, stage="measuring: boolq", share=0.34)
        view.update("a", one_shot)
        shown = Console(file=io.StringIO(), width=80)
        shown.print(view.render())
    _, line, running = shown.file.getvalue().splitlines()
    assert line.startswith("0 of 2 trials, 0 s gone")
    assert running.split() == ["input", "320B", "measuring:", "boolq,", "34", "%"]


def test_a_file_is_told_that_nothing_goes_on_every_five_minutes():
    now_s = [0.0]
    console = Console(file=io.StringIO(), width=80)
    with progress_view(2, 600_000, console, clock=lambda: now_s[0]) as view:
        now_s[0] = 10
        view.update("input", trial(60_000))
        for second in range(20, 1_000, 10):
            now_s[0] = second
            view.remind()
    assert console.file.getvalue().splitlines() == [
        "0 of 2 trials, 60K of 600K tokens, 5 min 10 s gone, no progress for 5 min 0 s",
        "0 of 2 trials, 60K of 600K tokens, 10 min 10 s gone, no progress for 10 min 0 s",
        "0 of 2 trials, 60K of 600K tokens, 15 min 10 s gone, no progress for 15 min 0 s",
    ]
