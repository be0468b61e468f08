"""Rows of conversations in JSON lines and Parquet: a list of messages `{"role", "content"}` each.

That is OpenAI's and Hugging Face's form. Content may be a list of parts, if all are text.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raydistill.core.errors import DataError
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.jsonl import JsonlFile
from raydistill.data.sources.parquet import ParquetFile
from raydistill.data.sources.source import File
from raydistill.specs.corpus import CHAT, Messages

FIELD = "messages"  # unless another one is named
_TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation; `unit` names it by file and row."""

    unit: str
    messages: Messages
    has_tools: bool = False  # which no template is given here


@dataclass(frozen=True, slots=True)
class ConversationFile:
    """A file of conversations, before a template made text of them."""

    file: JsonlFile | ParquetFile

    @property
    def num_bytes(self) -> int:
        """The file's size; of Parquet the column's, before compression."""
        return self.file.num_bytes if isinstance(self.file, JsonlFile) else self.file.column_bytes

    def rows(self, cleaner: TextCleaner) -> Iterator[Row]:
        """The conversations in order, with clean contents, as transformers takes them.

        Raises:
            DataError: naming the first row that holds no list of messages.
        """
        file = self.file
        rows = file.rows(cleaner) if isinstance(file, JsonlFile) else file.rows(_TOOLS)
        for number, row in rows:
            where = f"{file.path}:{number}: {file.field!r}"
            messages = list(_messages(row[file.field], where, cleaner))
            yield Row(f"{file.name}:{number}", messages, has_tools=bool(row.get(_TOOLS)))

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """What is said in each, without what a template writes: enough to estimate a length by."""
        for row in self.rows(cleaner):
            contents = (message.get("content", "") for message in row.messages)
            text = "\n".join(text for text in contents if isinstance(text, str))
            yield Document(collection="own", unit=row.unit, text=text)


def conversation_files(files: tuple[File, ...], text: str) -> tuple[ConversationFile, ...]:
    """The files of a source, which hold conversations.

    Raises:
        DataError: if one of them cannot.
    """
    return tuple(ConversationFile(_of_rows(file, text)) for file in files)


def _of_rows(file: File, text: str) -> JsonlFile | ParquetFile:
    if isinstance(file, JsonlFile | ParquetFile):
        return file
    name = getattr(file, "path", text)
    raise DataError(
        f"--text-form {CHAT}: {name} holds plain text: name .jsonl or .parquet files of {FIELD!r}"
    )


def _messages(value: Any, where: str, cleaner: TextCleaner) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise DataError(f"{where} is {_short(value)}, it must be a list of messages")
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise DataError(
                f"{where} has the message {_short(message)}, it must be an object with a role and "
                "a content"
            )
        fields = {key: field for key, field in message.items() if field is not None}
        if "content" in fields:
            fields["content"] = _content(fields["content"], where, cleaner)
        yield fields


def _content(content: Any, where: str, cleaner: TextCleaner) -> str:
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where} has the content {_short(content)}, it must be text")
    return cleaner.clean("".join(map(str, texts)))


def _short(value: Any) -> str:
    return json.dumps(value, default=str)[:40]
