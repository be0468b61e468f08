"""The table of a sweep on a terminal of any width: first in Table 5's shape, then in full.

What is too wide has its intervals below their values, then its columns in several grids.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from raydistill.core.text.lines import wrap
from raydistill.reports.tables import footnotes, grids
from raydistill.reports.tables.grids import Section
from raydistill.reports.tables.table import Table

NAMES = 19  # columns of the names of a list
GAP = 2  # between columns
LABELS = 20  # columns that labels have at least, where they are longer


def print_table(table: Table, console: Console) -> None:
    """Print the whole report, as wide as the console is."""
    for part in (*_parts(table, console), *_cost(table, console)):
        console.print(part)


def print_section(section: Section, console: Console) -> None:
    """Print one grid, as wide as the console is."""
    for part in (*_fitted(section, console), *(_text(of, console) for of in section.words)):
        console.print(part)


def print_pairs(section: Section, console: Console) -> None:
    """Print a section of two columns as lines of name and text."""
    console.print(section.title, style="bold")
    indent = " " * min(NAMES, console.width // 3)
    for name, text in section.rows:
        print_text(f"{name:{NAMES}}{text}", console, indent=indent)


def print_text(text: str, console: Console, *, style: str = "", indent: str = "") -> None:
    """Print sentences, as wide as the console is, `indent` before every line but the first."""
    console.print(_text(text, console, style, indent))


def _parts(table: Table, console: Console) -> Iterator[RenderableType]:
    yield _text(table.title, console, "bold")
    yield from (_text(warning, console, "yellow") for warning in table.warnings)
    if not table.blocks:
        return
    blocks = grids.readable(table.blocks)
    if len(blocks) == len(table.blocks):
        section = grids.matrix(table, table.columns)
        yield _text(f"\n{section.title}", console, "bold")
        short = tuple(header.replace("-", "-\n", 1) for header in section.headers)
        yield from _split(dataclasses.replace(section, headers=short), console)
    yield from _fitted(grids.removed_layers(table), console)
    for block in blocks:
        yield _text(f"\n{block.title}", console, "bold")
        yield from _fitted(grids.against_base(block), console)
        yield from _fitted(grids.against_control(block), console)
        yield Text("")
        yield from (_text(sentence, console) for sentence in block.words)
    yield _text(f"\n{footnotes.LEGEND}", console, "dim")
    yield from (_text(line, console, "dim") for line in footnotes.footnote_lines(table.footnotes))


def _cost(table: Table, console: Console) -> Iterator[RenderableType]:
    if table.spending.trials:
        yield from _fitted(grids.spending(table), console)
        yield from (_text(line, console, "dim") for line in table.spending.words)


def _text(text: str, console: Console, style: str = "", indent: str = "") -> Text:
    return Text("\n".join(wrap(text, console.width, indent)), style=style)


def _fitted(section: Section, console: Console) -> Iterator[RenderableType]:
    """`section` as a grid, intervals below their values if need be; else as several."""
    yield _text(f"\n{section.title}", console, "italic")
    stacked = tuple(tuple(v.replace(" [", "\n[") for v in row) for row in section.rows)
    for rows in (section.rows, stacked):
        shown = dataclasses.replace(section, rows=rows)
        if _fits(shown, console):
            yield _grid(shown)
            return
    yield from _split(dataclasses.replace(section, rows=stacked), console)


def _split(section: Section, console: Console) -> Iterator[RenderableType]:
    """The columns of `section` in as few grids as fit, each with the labels before them.

    Long labels have several lines. A column that does not fit beside them is a list.
    """
    section = _with_short_labels(section, max(LABELS, console.width // 3))
    rest = range(1, len(section.headers))
    while rest:
        count = len(rest)
        while count > 1 and not _fits(_columns(section, rest[:count]), console):
            count -= 1
        part = _columns(section, rest[:count])
        yield from [_grid(part)] if _fits(part, console) else _list(part, console)
        rest = rest[count:]


def _with_short_labels(section: Section, width: int) -> Section:
    def short(row: tuple[str, ...]) -> tuple[str, ...]:
        return "\n".join(wrap(row[0], width)), *row[1:]

    rows = tuple(map(short, section.rows))
    return dataclasses.replace(section, headers=short(section.headers), rows=rows)


def _list(section: Section, console: Console) -> Iterator[Text]:
    """The values of one column, each below its label."""
    for label, value in section.rows:
        yield _text(label, console, "bold")
        yield _text(value, console)


def _columns(section: Section, columns: Sequence[int]) -> Section:
    """The labels of `section` and some of its columns."""
    rows = tuple((row[0], *(row[i] for i in columns)) for row in section.rows)
    headers = (section.headers[0], *(section.headers[i] for i in columns))
    return dataclasses.replace(section, headers=headers, rows=rows)


def _fits(section: Section, console: Console) -> bool:
    """Whether its grid is no wider than the console: measuring grids takes ten times as long."""
    label, *others = section.headers
    headers = (label, *(header.replace(", ", "\n") for header in others))
    columns = zip(headers, *section.rows, strict=True)
    widths = [max(map(cell_len, "\n".join(column).split("\n"))) for column in columns]
    return sum(widths) + GAP * (len(widths) - 1) <= console.width


def _grid(section: Section) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    first, *others = section.headers
    grid.add_column(first, no_wrap=True)
    for header in others:
        grid.add_column(Text(header.replace(", ", "\n")), justify="right", no_wrap=True)
    for row in section.rows:
        grid.add_row(*map(Text, row), style="dim" if row[0].startswith("paper") else "")
    return grid
