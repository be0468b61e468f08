"""Cleaning of text that is damaged: it is mended and counted, and never a crash.

Bytes that are not UTF-8 and lone surrogates become U+FFFD, NUL is dropped, every line end becomes
a newline, and a document without a visible character is left out.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from raydistill.data.documents import Document
from raydistill.data.words import Kept

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories of Unicode: control, format, space


@dataclass(kw_only=True, slots=True)
class TextCleaner:
    """Cleans the text of one file, and counts what it mends."""

    replaced: int = 0  # bytes that are not UTF-8
    nul: int = 0
    surrogates: int = 0
    empty: int = 0  # documents
    kept: Kept = field(default_factory=Kept)  # where only some words are allowed

    def decode(self, raw: bytes) -> str:
        """`raw` as text."""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("utf-8", errors="replace")
            self.replaced += text.count("\ufffd")
            return text

    def clean(self, text: str) -> str:
        """`text` without NUL, lone surrogates and other line ends than a newline."""
        self.nul += text.count("\0")
        if not text.isascii():
            text, count = _SURROGATE.subn("\ufffd", text)
            self.surrogates += count
        return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")

    def documents(self, name: str, texts: Iterable[tuple[int, str]]) -> Iterator[Document]:
        """Numbered texts as documents, each its own unit; empty ones are left out."""
        for number, text in texts:
            cleaned = self.clean(text)
            if any(unicodedata.category(character) not in _UNSEEN for character in cleaned):
                yield Document(collection="own", unit=f"{name}:{number}", text=cleaned)
            else:
                self.empty += 1

    def note(self, name: object) -> str:
        """A sentence on what was mended in the file `name`; empty if nothing was."""
        counts = {
            "bytes not UTF-8 replaced": self.replaced,
            "NUL dropped": self.nul,
            "lone surrogates replaced": self.surrogates,
            "empty documents left out": self.empty,
        }
        changes = ", ".join(f"{count} {change}" for change, count in counts.items() if count)
        return f"{name}: {changes}" if changes else ""
