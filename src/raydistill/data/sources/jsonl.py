"""JSON lines: one object a line, with the text under one key. A line is a document."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, unknown
from raydistill.core.progress import streamed
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner


@dataclass(frozen=True, slots=True)
class JsonlFile:
    """A `.jsonl` file with the text under the key `field`."""

    path: Path
    name: str
    field: str

    @property
    def num_bytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The lines; each is its own unit, named by file and line.

        Raises:
            DataError: naming file, line and key of the first line without a text.
        """
        values = self.values(cleaner)
        texts = ((number, self._text(value, number)) for number, value in values)
        yield from cleaner.documents(self.name, texts)

    def values(self, cleaner: TextCleaner) -> Iterator[tuple[int, Any]]:
        """What stands under the key, line by line, whatever it is, with the line's number."""
        return ((number, row[self.field]) for number, row in self.rows(cleaner))

    def rows(self, cleaner: TextCleaner) -> Iterator[tuple[int, dict[str, Any]]]:
        """The objects, line by line, each with the line's number.

        Raises:
            DataError: naming file, line and key of the first line without the key.
        """
        with self.path.open("rb") as file:
            stream = streamed(file, "reading", "bytes", self.num_bytes, len)
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, self._row(cleaner.decode(line), number)

    def _row(self, line: str, number: int) -> dict[str, Any]:
        where = f"{self.path}:{number}"
        try:
            value = json.loads(line.removeprefix("\ufeff"), strict=False)
        except json.JSONDecodeError as error:
            raise DataError(f"{where} is not JSON: {error.msg}, column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON that can be read: {error}") from None
        if not isinstance(value, dict):
            raise DataError(f"{where} is no object with a key {self.field!r}")
        if self.field not in value:
            reason = unknown("key", self.field, value)
            raise DataError(f"{where}: {reason}; --text-field names the one with the text")
        return value

    def _text(self, text: Any, number: int) -> str:
        if not isinstance(text, str):
            excerpt = json.dumps(text)[:40]
            where = f"{self.path}:{number}"
            raise DataError(f"{where}: {self.field!r} is {excerpt}, it must be a string")
        return text
