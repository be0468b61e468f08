"""The report on a terminal of any width, in a pipe, a file, and without colours."""

import contextlib
import io
import os
import subprocess
import sys

import pytest

from raydistill.reports.console.console import open_console
from raydistill.reports.formats.terminal import print_table
from raydistill.reports.tables.table import build_table
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
