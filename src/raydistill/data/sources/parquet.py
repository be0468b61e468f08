"""Parquet: the text in one column; a row is a document. The only door to `pyarrow`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, unknown
from raydistill.core.progress import streamed
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner

_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A `.parquet` file with the text in the column `field`."""

    path: Path
    name: str
    field: str

    @property
    def num_bytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size

    @property
    def text_bytes(self) -> int:
        """About the bytes of its text, by the file's footer and its first rows.

        The footer has the column's size before compression. Where a dictionary keeps texts that
        repeat once, that is less than the first rows show, which then count.
        """
        first = [len(row or b"") for row in islice(self._rows(), _BATCH_ROWS)]
        with self._opened() as file:
            meta = file.metadata
            number = [meta.schema.column(n).path for n in range(meta.num_columns)].index(self.field)
            groups = map(meta.row_group, range(meta.num_row_groups))
            size = sum(int(group.column(number).total_uncompressed_size) for group in groups)
            size -= 4 * int(meta.num_rows)  # the length of each text
            like_first = int(meta.num_rows) * sum(first) // max(1, len(first))
        return like_first if like_first > 2 * size else size

    @property
    def column_bytes(self) -> int:
        """The column's size before compression, by the file's footer, with all that it nests."""
        with self._opened(texts=False) as file:
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            columns = (group.column(n) for group in groups for n in range(group.num_columns))
            own = (c for c in columns if c.path_in_schema.partition(".")[0] == self.field)
            return sum(int(column.total_uncompressed_size) for column in own)

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The rows; each is its own unit, named by file and row.

        Raises:
            DataError: if the file cannot be read, or has no such column, or a row has no text.
        """
        return cleaner.documents(self.name, self._texts(cleaner))

    def rows(self, *others: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The column row by row, whatever it holds, and those of the `others` that there are.

        Raises:
            DataError: if the file cannot be read, or has no such column.
        """
        with self._opened(texts=False) as file:
            columns = [self.field, *(name for name in others if name in file.schema_arrow.names)]
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=columns)
            rows = streamed(batches, "reading", "rows", file.metadata.num_rows, len)
            yield from enumerate((row for batch in rows for row in batch.to_pylist()), 1)

    def _texts(self, cleaner: TextCleaner) -> Iterator[tuple[int, str]]:
        for number, raw in enumerate(self._rows(), 1):
            if raw is None:
                raise DataError(
                    f"{self.path}, row {number}: {self.field!r} is null, it must be a string"
                )
            yield number, cleaner.decode(raw)

    def _rows(self) -> Iterator[bytes | None]:
        """The values of the column as bytes: not all writers check that they are UTF-8."""
        with self._opened() as file:
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[self.field])
            for batch in streamed(batches, "reading", "rows", file.metadata.num_rows, len):
                yield from _as_binary(batch.column(0)).to_pylist()

    @contextmanager
    def _opened(self, *, texts: bool = True) -> Iterator[Any]:
        """The open file; with `texts` the column is text. pyarrow's errors become a `DataError`."""
        import pyarrow  # noqa: PLC0415  (a dry run reads other text without it)
        from pyarrow import parquet  # noqa: PLC0415

        try:
            with parquet.ParquetFile(self.path) as file:
                self._check_column(file.schema_arrow, texts=texts)
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is not Parquet that can be read: {error}") from None

    def _check_column(self, schema: Any, *, texts: bool) -> None:
        if self.field not in schema.names:
            reason = unknown("column", self.field, schema.names)
            raise DataError(f"{self.path}: {reason}; --text-field names the one with the text")
        kind = schema.field(self.field).type
        if texts and not _is_text(kind):
            raise DataError(f"{self.path}: column {self.field!r} holds {kind}, it must be strings")


def _is_text(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _as_binary(column: Any) -> Any:
    import pyarrow  # noqa: PLC0415

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pyarrow.large_binary())
