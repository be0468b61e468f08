"""The trials of a plan as a table of a width: a line for each, what all share once above."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from raydistill.core.text.lines import NO_BREAK, wrap
from raydistill.planning.cell import Cell, cell_name
from raydistill.planning.resolve import PlannedTrial
from raydistill.pruning.ranking_result import layers_text
from raydistill.specs.locations import NONE

KEPT, REMOVED, UNKNOWN = "■", "□", "·"
BEGINNING, NO_ID = 8, "later"  # characters of an id, and what stands for none, where it is narrow

MOST_SHARED = 5  # trials whose several names are listed
_BESIDE = 2  # columns between layers and location


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One distinct trial as text."""

    layers: str  # a box for each
    location: str
    values: tuple[str, ...]  # the last is its id


def layer_map(num_layers: int, removed: Sequence[int]) -> str:
    """One box for each layer of the base, empty where it is removed.

    >>> layer_map(6, (1, 2))
    '■□□■■■'
    """
    return "".join(REMOVED if layer in removed else KEPT for layer in range(num_layers))


def trial_table(
    heads: Sequence[str], rows: Sequence[Row], width: int, most: int | None = None
) -> Iterator[str]:
    """The lines of a table of the first `most` rows; `heads` name the values of `rows`.

    Where a line is too narrow, ids are shortened, then layers are numbers, then the columns are in
    several tables, and in the end a trial has several lines.
    """
    heads, rows, shared = _without_shared(heads, rows)  # of all rows
    rows = rows[:most]
    is_unscored = any(UNKNOWN in row.layers for row in rows)
    legend = f"  {UNKNOWN} layers known after scoring" if is_unscored else ""
    boxes = f"{KEPT} stays  {REMOVED} leaves{legend}"
    layouts = _layouts(heads, rows, width)
    lines, by_number = next((lines, by_number) for lines, by_number in layouts if lines)
    yield from wrap(f"layers leave{legend}" if by_number else boxes, width)
    yield from wrap(shared, width, "  ") if shared else ()
    yield from lines


def _layouts(
    heads: Sequence[str], rows: Sequence[Row], width: int
) -> Iterator[tuple[list[str] | None, bool]]:
    """Each form of the table, None where it is too wide, and whether it has layers by number."""
    yield _table(heads, rows, width), False
    short = [_with_short_id(row) for row in rows]
    yield _table(heads, short, width), False
    numbers = [replace(row, layers=_leaving(row.layers)) for row in short]
    yield _table(heads, numbers, width), True
    yield _tables(heads, short, width), False
    yield _tables(heads, numbers, width), True
    yield list(_stacked(heads, rows, width)), False


def _without_shared(
    heads: Sequence[str], rows: Sequence[Row]
) -> tuple[Sequence[str], Sequence[Row], str]:
    """What differs between rows, and in words what does not; the id of a single trial differs."""
    shared = [
        len({row.values[i] for row in rows}) == 1 and (len(rows) > 1 or i < len(heads) - 1)
        for i in range(len(heads))
    ]
    words = [
        f"{head} {value}".replace(" ", NO_BREAK)
        for head, value, is_shared in zip(heads, rows[0].values, shared, strict=True)
        if is_shared
    ]
    return (
        [head for head, is_shared in zip(heads, shared, strict=True) if not is_shared],
        [
            replace(row, values=tuple(v for v, s in zip(row.values, shared, strict=True) if not s))
            for row in rows
        ],
        f"every trial: {', '.join(words)}" if words else "",
    )


def _with_short_id(row: Row) -> Row:
    if not row.values:
        return row
    *values, last = row.values
    return replace(row, values=(*values, NO_ID if " " in last else last[:BEGINNING]))


def _leaving(boxes: str) -> str:
    """The layers that leave, by number."""
    if UNKNOWN in boxes:
        return UNKNOWN
    return layers_text([i for i, box in enumerate(boxes) if box == REMOVED]).replace(",", " ")


def _table(heads: Sequence[str], rows: Sequence[Row], width: int) -> list[str] | None:
    """A line for each trial, locations and layers below each other; None if that is too wide."""
    columns = zip(heads, *(row.values for row in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    room = width - _BESIDE - sum(1 + column for column in widths)
    texts = ["location", *(row.location for row in rows)]
    layers = _text_width([row.layers for row in rows], room - _longest_word(texts))
    locations = _text_width(texts, room - layers)
    if layers + locations > room:
        return None

    def line(layer: str, location: str, values: Sequence[str]) -> str:
        cells = (value.rjust(column) for value, column in zip(values, widths, strict=True))
        return " ".join((f"{layer:{layers}} ", f"{location:{locations}}", *cells))

    lines = [line("", "location", heads)]
    for row in rows:
        parts = wrap(row.layers, layers), wrap(row.location, locations)
        for i in range(max(map(len, parts))):
            layer, location = (part[i] if i < len(part) else "" for part in parts)
            lines.append(line(layer, location, [""] * len(widths) if i else row.values))
    return lines


def _tables(heads: Sequence[str], rows: Sequence[Row], width: int) -> list[str] | None:
    """The columns in as few tables as fit, each with layers and locations; None if one is too wide.

    The last has the ids.
    """
    lines: list[str] = []
    rest = len(heads)
    while rest:
        tables = ((n, _table(*_columns(heads, rows, n, rest), width)) for n in range(rest))
        start, table = next(((n, table) for n, table in tables if table), (rest, None))
        if table is None:
            return None
        lines, rest = [*table, *lines], start
    return lines


def _columns(
    heads: Sequence[str], rows: Sequence[Row], start: int, end: int
) -> tuple[Sequence[str], list[Row]]:
    return heads[start:end], [replace(row, values=row.values[start:end]) for row in rows]


def _text_width(texts: Sequence[str], most: int) -> int:
    """Columns that texts take in a column of at most `most`, but for words that are longer."""
    return max(1, _longest_word(texts), min(most, max(map(len, texts))))


def _longest_word(texts: Sequence[str]) -> int:
    return max(len(word) for text in texts for word in text.split() or [""])


def _stacked(heads: Sequence[str], rows: Sequence[Row], width: int) -> Iterator[str]:
    for row in rows:
        yield from (row.layers[i : i + width] for i in range(0, len(row.layers), width))
        values = [f"{head} {value}" for head, value in zip(heads, row.values, strict=True)]
        words = (text.replace(" ", NO_BREAK) for text in values)
        yield from wrap(" · ".join((row.location, *words)), width, "  ")


def shared_cells(trials: Sequence[PlannedTrial]) -> Iterator[str]:
    """The cells that are one trial, by name."""
    groups = []
    for planned in trials:
        names = dict.fromkeys(map(_name, planned.cells))
        groups += [" = ".join(names)] if len(names) > 1 else []
    if groups:
        more = f"; and {len(groups) - MOST_SHARED} more" if len(groups) > MOST_SHARED else ""
        yield f"Cells that are one trial: {'; '.join(groups[:MOST_SHARED])}{more}."


def _name(cell: Cell) -> str:
    """The name of a cell; of one from which nothing leaves, whatever the removal would be."""
    hidden = _REMOVAL if cell.request.location == NONE else ()
    values = {axis: value for axis, value in cell.values.items() if axis not in hidden}
    return cell_name(cell.request.location, values)


_REMOVAL = ("count", "gap", "order")
