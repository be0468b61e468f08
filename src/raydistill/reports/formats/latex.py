"""Grids as LaTeX tables with booktabs, each with its caption."""

import re
from collections.abc import Iterator, Sequence

from raydistill.reports.tables.grids import Section

PREAMBLE = "% \\usepackage{booktabs,graphicx,amssymb}\n"
WIDE = 70  # characters in a line, above which a table is scaled to the width of the page

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # right after a line's end it would be an option
    "*": "$^{*}$",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "α": r"$\alpha$",
    "τ": r"$\tau$",
    "■": r"$\blacksquare$",
    "□": r"$\square$",
    "·": r"$\cdot$",
    "\n": " ",
}

_TO_ESCAPE = re.compile("[" + re.escape("".join(_SPECIAL)) + r"]|(?<![\w.-])-(?=\d)")


def to_latex(section: Section, caption: str, notes: Sequence[str] = ()) -> str:
    """A table float with rules by booktabs; a wide one is scaled to the text.

    Args:
        section: its content.
        caption: plain text, below the table.
        notes: footnotes, below that.
    """
    return "\n".join(_lines(section, caption, notes)) + "\n"


def _lines(section: Section, caption: str, notes: Sequence[str]) -> Iterator[str]:
    columns = zip(section.headers, *section.rows, strict=True)
    wide = sum(2 + max(map(len, column)) for column in columns) > WIDE
    yield "\\begin{table*}[t]" if wide else "\\begin{table}[t]"
    yield "\\centering\\small"
    if wide:
        yield "\\resizebox{\\textwidth}{!}{%"
    yield f"\\begin{{tabular}}{{l{'r' * (len(section.headers) - 1)}}}"
    yield "\\toprule"
    yield _row(section.headers)
    yield "\\midrule"
    yield from map(_row, section.rows)
    yield "\\bottomrule"
    yield "\\end{tabular}" + ("}" if wide else "")
    yield f"\\caption{{{escaped(caption)}}}"
    yield from (f"\\par\\footnotesize {escaped(note)}" for note in notes)
    yield "\\end{table*}" if wide else "\\end{table}"


def _row(values: Sequence[str]) -> str:
    return " & ".join(map(escaped, values)) + r" \\"


def escaped(text: str) -> str:
    r"""`text` as LaTeX sets it literally; a minus before a number is a minus.

    >>> escaped("50 % of a_b: -4.8")
    '50 \\% of a\\_b: $-$4.8'
    """
    return _TO_ESCAPE.sub(lambda match: _SPECIAL.get(match[0], "$-$"), text)
