"""The line that says how far a stage is, on a terminal and in a file."""

import io

import pytest

from raydistill.core.progress import UNKNOWN, Pace, StageProgress, tracked
from raydistill.reports.console.console import (
    PipeSafeConsole,
    ProgressLine,
    progress_shown,
    progress_text,
)


def at(done, total=4_000_000, stage="measuring", part="boolq", unit="tokens"):
    return StageProgress(stage=stage, part=part, done=done, total=total, unit=unit)


def console_of(*, terminal):
    return PipeSafeConsole(file=io.StringIO(), width=60, force_terminal=terminal, highlight=False)


def shown(console, *reports):
    """What is printed of reports that are a second apart."""
    now_s = [0.0]
    line = ProgressLine(console, lambda: now_s[0])
    for progress in reports:
        line(progress)
        now_s[0] += 1
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (at(1_360_000), "measuring: boolq: 34 % of 4M tokens"),
        (at(12, 40, "ranking", "", "passes"), "ranking: 12 of 40 passes"),
        (at(1.5, 3, "reading", "s1", "checkpoints"), "reading: s1: 50 % of 3 checkpoints"),
        (at(2e9, 14.2e9, "hashing", "", "bytes"), "hashing: 14 % of 14.2 GB"),
        (at(12_345, UNKNOWN, "loading", "", "documents"), "loading: 12,345 documents so far"),
    ],
)  # fmt: skip
def test_a_share_of_what_is_many_and_a_number_of_what_is_few(progress, text):
    assert progress_text(progress, Pace()) == text


def test_a_file_gets_a_line_every_15_seconds_with_the_time_left():
    text = shown(console_of(terminal=False), *(at(100_000 * n) for n in range(40)))
    assert text.splitlines() == [
        "measuring: boolq: 38 % of 4M tokens, about 25 s left",
        "measuring: boolq: 75 % of 4M tokens, about 10 s left",
    ]


def test_no_time_is_told_after_a_moment_of_little_work():
    text = shown(console_of(terminal=True), *(at(40_000 * n) for n in range(8)))
    times = [line.partition("tokens")[2].strip() for line in text.split("\r")]
    assert times[:5] == [""] * 4 + [", about 1 min 35 s left"]


def test_a_short_stage_leaves_no_line_in_a_file():
    reports = [at(n, 12, stage) for stage in ("reading", "hashing", "writing") for n in range(13)]
    assert shown(console_of(terminal=False), *reports) == ""


def test_a_terminal_has_one_line_that_changes_and_goes():
    text = shown(console_of(terminal=True), *(at(1_000_000 * n) for n in range(5)))
    first, *_, last, rest = text.split("\r")
    assert first.rstrip() == "measuring: boolq: 25 % of 4M tokens, about 3 s left"
    assert last.strip() == rest == ""
    assert "\n" not in text


def test_a_line_is_never_wider_than_the_terminal():
    text = shown(console_of(terminal=True), *(at(n, 9, stage="m" * 80) for n in range(4)))
    assert {len(line) for line in text.split("\r")[:-1]} == {59}


def test_what_work_tells_is_shown_and_taken_off_again():
    console = console_of(terminal=True)
    with progress_shown(console):
        line = "".join(str(n) for n in tracked(range(3), "counting", "numbers"))
    assert line == "012"
    assert console.file.getvalue() == ""  # it took no second


@pytest.mark.parametrize("total", [4_000_000, UNKNOWN])
def test_a_stage_that_hangs_says_since_when(total):
    pace = Pace()
    for second in range(10):
        pace.add(second, 100_000 * second)
    for second in (*range(10, 400, 7), 400):
        pace.add(second, 900_000)
    assert progress_text(at(900_000, total), pace).endswith(", no progress for 6 min 31 s")
    pace.add(401, 1_000_000)
    assert "no progress" not in progress_text(at(1_000_000, total), pace)
