"""JSON lines: one object a line, the text under one key. A line is a document, however long."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError, unknown
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner


@dataclass(frozen=True, slots=True)
class JsonlFile:
    """A `.jsonl` file whose text stands under the key `field`."""

    path: Path
    name: str
    field: str

    def documents(self, mended: TextCleaner) -> Iterator[Document]:
        """The lines; each is its own unit, named by file and line.

        Raises:
            DataError: naming file, line and key of the first line that is not as it must be.
        """
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                text = mended.clean(self._text(mended.decode(line), number))
                if text.strip():
                    yield Document(collection="own", unit=f"{self.name}:{number}", text=text)
                else:
                    mended.empty += 1

    def _text(self, line: str, number: int) -> str:
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
            named = unknown("key", self.field, value)
            raise DataError(f"{where}: {named}; --text-field names the one with the text")
        text = value[self.field]
        if not isinstance(text, str):
            shown = json.dumps(text)[:40]
            raise DataError(f"{where}: {self.field!r} is {shown}, it must be a string")
        return text
