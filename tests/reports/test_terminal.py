"""The report on a terminal of any width, in a pipe, a file, and without colours."""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.reports.console.console import PipeSafeConsole, open_console
from raydistill.reports.formats.terminal import print_pairs, print_section, print_table
from raydistill.reports.tables.grids import Section
from raydistill.reports.tables.table import build_table
from raydistill.reports.trials import TrialMatch, trial_section
from support.reported import printed, whole_sweep


@pytest.fixture(scope="module")
def table():
    return build_table(whole_sweep())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_every_number_is_whole_at_every_width(table, width):
    text = printed(table, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    assert text.count("+10.97") == printed(table, 200).count("+10.97")


@settings(max_examples=12, deadline=None)
@given(width=st.integers(60, 200))
def test_no_word_is_broken_and_a_table_stays_one(table, width):
    """What differs between widths is where lines end, and how often headers and labels stand."""
    text, wide = printed(table, width), printed(table, 200)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    missing = Counter(wide.split()) - Counter(text.split())
    assert not missing
    assert Counter(text.split()).keys() == Counter(wide.split()).keys()
    heads = re.compile(r"^(location|checkpoint)  ", re.MULTILINE)
    assert len(heads.findall(text)) >= len(heads.findall(wide))


@settings(max_examples=20, deadline=None)
@given(width=st.integers(60, 200))
def test_what_is_shown_of_a_trial_breaks_no_word(width):
    report = whole_sweep()
    matches = [TrialMatch(report=report, cell=cell) for cell in report.cells[:1]]
    texts = {}
    for columns in (width, 1000):
        file = io.StringIO()
        print_pairs(trial_section(matches), PipeSafeConsole(file=file, width=columns))
        texts[columns] = file.getvalue()
    assert max(map(len, texts[width].splitlines())) <= width
    assert texts[width].split() == texts[1000].split()


def test_long_labels_have_several_lines_and_addresses_stay_whole():
    address = f"http://tracking.example.org/{'a-long-folder/' * 6}"
    section = Section(
        title=f"Everything is at {address}",
        headers=("cell", "delta_nll, nats/token", "note"),
        rows=(("angular-distance-last, age 320B, count 12, gap 1B", "+0.113 [0.110 0.116]", "x"),),
    )
    file = io.StringIO()
    print_section(section, PipeSafeConsole(file=file, width=40))
    assert file.getvalue().splitlines() == [
        "",
        "Everything is at",
        address,
        "                            delta_nll",
        "cell                       nats/token",
        "angular-distance-last,         +0.113",
        "age 320B, count 12,     [0.110 0.116]",
        "gap 1B                               ",
        "cell                    note",
        "angular-distance-last,     x",
        "age 320B, count 12,         ",
        "gap 1B                      ",
    ]


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


def test_reading_a_table_imports_neither_matplotlib_nor_torch():
    code = (
        "import sys, raydistill.reports.formats.terminal, raydistill.reports.figures.sweep;"
        "import raydistill.reports.console.live;"
        "print(sorted({'matplotlib', 'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
