"""Text in lines of a width, in which no word, number or address is broken."""

import re
import shutil
import textwrap

PLAIN_WIDTH = 100  # of what no terminal shows: a file, a pipe
NO_BREAK = "\N{NO-BREAK SPACE}"  # a space at which `wrap` breaks no line

_UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMGT]?B|s|min|h)(?!\w))")


def line_width() -> int:
    """Columns of a line: as $COLUMNS says, else as the terminal has; without one, 100."""
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """The lines of `text`, broken at spaces alone, and never between a number and its unit.

    A word that is longer than `width` has a line of its own.

    Args:
        text: one paragraph or several, with line breaks between them.
        width: columns that a line may have.
        indent: before every line of a paragraph but its first.

    >>> wrap("It takes 16 GB in s3://bucket/folder/of/mine", 12, "  ")
    ['It takes', '  16 GB in', '  s3://bucket/folder/of/mine']
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += _wrapped(paragraph, width, indent) or [""]
    return lines


def _wrapped(paragraph: str, width: int, indent: str) -> list[str]:
    lines = textwrap.wrap(
        _UNIT.sub(NO_BREAK, paragraph),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(NO_BREAK, " ") for line in lines]
