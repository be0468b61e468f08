"""Lines of a width in which nothing is broken."""

from hypothesis import given
from hypothesis import strategies as st

from raydistill.core.text.lines import line_width, wrap

WORDS = st.sampled_from(
    (
        *("layers", "max-gap", "angular-distance-last", "--price-per-hour", "1e-05", "319.488K"),
        *("http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&view=table",),
        *("[0.110", "0.116]", "17f2eea8422c235b", "/mnt/a-shared/folder-of/some-body/", "5", "%"),
        *("16", "GB", "42", "s", "2", "h"),
    )
)


@given(st.lists(WORDS), st.integers(20, 200), st.sampled_from(("", "  ")))
def test_words_stay_whole_and_in_order(words, width, indent):
    lines = wrap(" ".join(words), width, indent)
    assert [word for line in lines for word in line.split()] == words
    for line in lines:
        assert len(line) <= width or len(line.split()) <= 2  # one, or a number and its unit


@given(st.integers(20, 200))
def test_a_number_stays_beside_its_unit(width):
    text = "It loses 5 % in 42 s and 16 GB of 64 GB, 3 steps, " * 9
    together = ("5 %", "42 s", "16 GB", "64 GB,")
    lines = wrap(text, width)
    for pair in together:
        assert sum(line.count(pair) for line in lines) == 9, pair


def test_paragraphs_and_empty_lines_stay():
    assert wrap("one two\n\nthree", 5, " ") == ["one", " two", "", "three"]


def test_what_no_terminal_shows_is_a_hundred_columns_wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert line_width() == 100
    monkeypatch.setenv("COLUMNS", "72")
    assert line_width() == 72
