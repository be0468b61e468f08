"""The table of a sweep on a terminal of any width: first in Table 5's shape, then in full."""

import dataclasses
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from raydistill.reports.tables import footnotes, grids
from raydistill.reports.tables.grids import Section
from raydistill.reports.tables.table import Table

LIST_INDENT = 18  # characters before the values of a list


def print_table(table: Table, console: Console) -> None:
    """Print the whole report, as wide as the console is."""
    for part in (*_parts(table, console), *_cost(table, console)):
        console.print(part)


def print_section(section: Section, console: Console) -> None:
    """Print one grid, as wide as the console is."""
    for part in _fitted(section, console):
        console.print(part)


def print_pairs(section: Section, console: Console) -> None:
    """Print a section of two columns as lines of name and text."""
    console.print(section.title, style="bold")
    for name, text in section.rows:
        console.print(f"{name:19}{text}", soft_wrap=True)


def _parts(table: Table, console: Console) -> Iterator[RenderableType]:
    yield Text(table.title, style="bold")
    yield from (Text(warning, style="yellow") for warning in table.warnings)
    if not table.blocks:
        return
    blocks = grids.readable(table.blocks)
    if len(blocks) == len(table.blocks):
        yield from _matrices(table, console)
    yield from _fitted(grids.removed_layers(table), console)
    for block in blocks:
        yield Text(f"\n{block.title}", style="bold")
        yield from _fitted(grids.against_base(block), console)
        yield from _fitted(grids.against_control(block), console)
        yield Text("")
        yield from (Text(sentence) for sentence in block.words)
    yield Text(f"\n{footnotes.LEGEND}", style="dim")
    yield from (Text(line, style="dim") for line in footnotes.footnote_lines(table.footnotes))


def _cost(table: Table, console: Console) -> Iterator[RenderableType]:
    if table.spending.trials:
        yield from _fitted(grids.spending(table), console)
        yield from (Text(line, style="dim") for line in table.spending.words)


def _matrices(table: Table, console: Console) -> Iterator[RenderableType]:
    """Table 5's shape, in several grids where one is too wide."""
    yield Text(f"\n{grids.matrix(table, ()).title}", style="bold")
    names = list(table.columns)
    while names:
        count = 1
        while count < len(names) and _fits(_matrix_grid(table, names[: count + 1]), console):
            count += 1
        yield _matrix_grid(table, names[:count])
        del names[:count]


def _matrix_grid(table: Table, names: Sequence[str]) -> Grid:
    section = grids.matrix(table, names)
    short = tuple(header.replace("-", "-\n", 1) for header in section.headers)
    return _grid(dataclasses.replace(section, headers=short))


def _fitted(section: Section, console: Console) -> Iterator[RenderableType]:
    """`section` as a grid, intervals below their values if need be; else as a list."""
    yield Text(f"\n{section.title}", style="italic")
    stacked = tuple(tuple(v.replace(" [", "\n[") for v in row) for row in section.rows)
    for rows in (section.rows, stacked):
        grid = _grid(dataclasses.replace(section, rows=rows))
        if _fits(grid, console):
            yield grid
            return
    for label, *values in section.rows:
        yield Text(label, style="bold")
        for header, value in zip(section.headers[1:], values, strict=True):
            yield Text(f"  {header.partition(',')[0]:{LIST_INDENT}}{value}")


def _fits(grid: Grid, console: Console) -> bool:
    unbounded = console.options.update(width=10_000)
    return Measurement.get(console, unbounded, grid).maximum <= console.width


def _grid(section: Section) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first, *others = section.headers
    grid.add_column(first, no_wrap=True)
    for header in others:
        grid.add_column(Text(header.replace(", ", "\n")), justify="right", no_wrap=True)
    for row in section.rows:
        grid.add_row(*map(Text, row), style="dim" if row[0].startswith("paper") else "")
    return grid
