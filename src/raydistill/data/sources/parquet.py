"""Parquet: the text in one column; a row is a document. The only door to `pyarrow`."""

from collections.abc import Iterator
from dataclasses import dataclass
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

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The rows; each is its own unit, named by file and row.

        Raises:
            DataError: if the file cannot be read, or has no such column, or a row has no text.
        """
        return cleaner.documents(self.name, self._texts(cleaner))

    def _texts(self, cleaner: TextCleaner) -> Iterator[tuple[int, str]]:
        for number, raw in enumerate(self._rows(), 1):
            if raw is None:
                raise DataError(
                    f"{self.path}, row {number}: {self.field!r} is null, it must be a string"
                )
            yield number, cleaner.decode(raw)

    def _rows(self) -> Iterator[bytes | None]:
        """The values of the column as bytes: not all writers check that they are UTF-8."""
        import pyarrow  # noqa: PLC0415  (a dry run reads no text)
        from pyarrow import parquet  # noqa: PLC0415

        try:
            with parquet.ParquetFile(self.path) as file:
                self._check_column(file.schema_arrow)
                batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[self.field])
                num_rows = file.metadata.num_rows
                for batch in streamed(batches, "reading", "rows", num_rows, len):
                    yield from _as_binary(batch.column(0)).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is not Parquet that can be read: {error}") from None

    def _check_column(self, schema: Any) -> None:
        if self.field not in schema.names:
            reason = unknown("column", self.field, schema.names)
            raise DataError(f"{self.path}: {reason}; --text-field names the one with the text")
        kind = schema.field(self.field).type
        if not _is_text(kind):
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
