"""Points from anybody's table: a CSV file with a header, a run a row.

Commas, semicolons (then 0,5 is a half) or tabs; numbers as 7e9, 7B, 160M or 1_000; the mark that
some editors put first is passed over. A row that cannot be used is left out, with its line and the
reason.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raydistill.core.errors import DataError, UsageError
from raydistill.laws.points import Exclusion, Points

DELIMITERS = ",;\t"
NAMES = ("name", "run", "run_id", "trial", "trial_id", "id", "model")
SEED = "seed"
NO_VALUE = ("", "nan", "na", "n/a", "null", "none", "-", "–")
_INDEX = ("", "Unnamed: 0")  # as pandas writes the index
_SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:e[-+]?\d+)?\s*[KMBT]?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([KMBT]?)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The cells of a CSV file as text.

    Args:
        path: the file, for messages.
        columns: its header.
        rows: the cells of each row, as many as columns or, where the row is wrong, more.
        lines: the line of each row in the file, from 1 on.
        decimal_comma: whether 0,5 is a half.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    decimal_comma: bool


def read_table(path: Path) -> Table:
    """The table in a CSV file.

    Raises:
        DataError: if it cannot be read, or has no header or no row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: it is not UTF-8 text: save the table as a CSV file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    header = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    try:
        numbered = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from error
    numbered = [(line, row) for line, row in numbered if any(row)]
    if not numbered:
        raise DataError(f"{path}: it is empty")
    (first, columns), *rest = numbered
    if repeated := [name for name in columns if name and columns.count(name) > 1]:
        raise DataError(f"{path}:{first}: two columns are named {repeated[0]}: rename one")
    if any(_number(cell, decimal_comma=delimiter == ";") is not None for cell in columns):
        raise DataError(f"{path}:{first}: the first row must name the columns, as in params,loss")
    if not rest:
        raise DataError(f"{path}: it has a header and no row")
    cells = [cell for _, row in rest for cell in row]
    return Table(
        path=path,
        columns=tuple(columns),
        rows=tuple(_cells(row, len(columns)) for _, row in rest),
        lines=tuple(line for line, _ in rest),
        decimal_comma=delimiter != "," and _has_decimal_commas(cells, default=delimiter == ";"),
    )


def _cells(row: list[str], columns: int) -> tuple[str, ...]:
    """The cells of a row, filled up to `columns`; empty ones beyond them are none."""
    while len(row) > columns and not row[-1]:
        row = row[:-1]
    return tuple(row + [""] * (columns - len(row)))


def _has_decimal_commas(cells: Sequence[str], *, default: bool) -> bool:
    """Whether 1,500 is one and a half: as the cells that can be read in one way alone say."""
    if any(_DECIMAL_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in cells):
        return True
    return default and not any("." in cell and _NUMBER.fullmatch(cell) for cell in cells)


def _number(text: str, *, decimal_comma: bool) -> float | None:
    """A cell's number; None if it is none."""
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    elif _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    match = _NUMBER.fullmatch(text.replace("_", ""))
    return float(match[1]) * _SUFFIXES[match[2].upper()] if match else None


def column_of(table: Table, field: str, columns: Mapping[str, str]) -> str | None:
    """The column with `field`: as `columns` says, else of that name in whatever case and marks.

    Raises:
        UsageError: if `columns` names one that the table lacks, or several have the name.
    """
    if field in columns:
        if columns[field] not in table.columns:
            raise UsageError(
                f"{table.path}: no column {columns[field]!r}. There are: {', '.join(table.columns)}"
            )
        return columns[field]
    alike = [column for column in table.columns if _plain(column) == _plain(field)]
    if len(alike) > 1:
        raise UsageError(
            f"{table.path}: {' and '.join(alike)} may both be {field}: say which, "
            f"--columns {field}={alike[0]}"
        )
    return alike[0] if alike else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def columns_of(table: Table, fields: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The column of each field.

    Raises:
        UsageError: if one has none; the message says how to name it.
    """
    by_field = {field: column_of(table, field, columns) for field in fields}
    if missing := [field for field, column in by_field.items() if column is None]:
        named = ",".join(f"{field}=COLUMN" for field in missing)
        raise UsageError(
            f"{table.path}: no column {' or '.join(missing)}. There are: "
            f"{', '.join(table.columns)}. Name yours: --columns {named}"
        )
    return {field: column for field, column in by_field.items() if column is not None}


def points_of(
    table: Table,
    fields: Sequence[str],
    output: str,
    columns: Mapping[str, str],
    *,
    may_be_empty: bool = False,
) -> Points:
    """The rows of a table as points, inputs and output above 0.

    Args:
        table: the cells.
        fields: the inputs.
        output: what is fitted.
        columns: the column of a field, where it has another name.
        may_be_empty: whether no row at all is fine.

    Raises:
        UsageError: if a field has no column.
        DataError: if no row can be used.
    """
    by_field = columns_of(table, (*fields, output), columns)
    rows = list(_rows(table, by_field, column_of(table, SEED, columns)))
    kept = [row for row in rows if not row.reason]
    excluded = tuple(Exclusion(name=row.name, reason=row.reason) for row in rows if row.reason)
    if not kept and not may_be_empty:
        first = next((f"{row.name}: {row.reason}" for row in excluded), "there is none of its kind")
        raise DataError(f"{table.path}: no row can be used: {first}")
    every = [value for row in kept for value in row.values]
    values = np.array(every, np.float64).reshape(len(kept), len(by_field))
    seeds = [row.seed for row in kept if row.seed is not None]
    return Points(
        inputs={field: values[:, i] for i, field in enumerate(fields)},
        outputs=values[:, -1],
        names=tuple(row.name for row in kept),
        seeds=tuple(seeds) if len(seeds) == len(kept) else None,
        excluded=excluded,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    name: str
    reason: str  # why it is left out, else empty
    values: tuple[float, ...] = ()
    seed: int | None = None


def _rows(table: Table, by_field: Mapping[str, str], seed: str | None) -> Iterator[_Row]:
    """Every row; one that is the same as another in every named column counts once."""
    first_lines: dict[tuple[str, ...], int] = {}
    for line, cells in zip(table.lines, table.rows, strict=True):
        by_column = dict(zip(table.columns, cells, strict=False))
        name = _row_name(table, by_column, line)
        if len(cells) > len(table.columns):
            reason = f"it has {len(cells)} cells, the header {len(table.columns)}"
            yield _Row(name=name, reason=reason)
            continue
        key = tuple(by_column[column] for column in table.columns if column not in _INDEX)
        if key in first_lines:
            yield _Row(name=name, reason=f"the same as line {first_lines[key]}")
            continue
        first_lines[key] = line
        texts = {field: by_column[column] for field, column in by_field.items()}
        numbers = {f: _number(t, decimal_comma=table.decimal_comma) for f, t in texts.items()}
        reason = next(filter(None, (_problem(f, texts[f], n) for f, n in numbers.items())), "")
        values = tuple(n for n in numbers.values() if n is not None)
        seed_text = by_column[seed] if seed else ""
        yield _Row(
            name=name, reason=reason, values=values,
            seed=int(seed_text) if re.fullmatch("[0-9]{1,15}", seed_text) else None,
        )  # fmt: skip


def _row_name(table: Table, by_column: Mapping[str, str], line: int) -> str:
    by_plain = {_plain(column): text for column, text in by_column.items()}
    name = next((by_plain[key] for key in NAMES if by_plain.get(key)), "")
    return f"{name} (line {line})" if name else f"line {line}"


def _problem(field: str, text: str, number: float | None) -> str:
    """Why a cell cannot be used; empty if it can."""
    if text.lower() in NO_VALUE:
        return f"{field} has no value" if not text else f"{field} is {text}"
    if number is None:
        return f"{field} {text!r} is no number"
    if not 0 < number < math.inf:
        return f"{field} {text} is not above 0"
    return ""
