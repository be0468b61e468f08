"""What is done to text that is not clean: mended, counted and said, never a crash.

Bytes that are not UTF-8 and lone surrogates become U+FFFD, NUL is dropped, every line end becomes
a newline, and a document without a word in it is left out.
"""

import re
from dataclasses import dataclass

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(kw_only=True, slots=True)
class TextCleaner:
    """How often something was, in one file."""

    replaced: int = 0
    nul: int = 0
    surrogates: int = 0
    empty: int = 0

    def decode(self, raw: bytes) -> str:
        """`raw` as text; what is not UTF-8 is counted."""
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
            text, found = _SURROGATE.subn("\ufffd", text)
            self.surrogates += found
        return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")

    def note(self, name: object) -> str:
        """What there is to say of the file `name`; empty where nothing was mended."""
        said = {
            f"{self.replaced} bytes not UTF-8 replaced": self.replaced,
            f"{self.nul} NUL dropped": self.nul,
            f"{self.surrogates} lone surrogates replaced": self.surrogates,
            f"{self.empty} empty documents left out": self.empty,
        }
        counted = ", ".join(each for each, count in said.items() if count)
        return f"{name}: {counted}" if counted else ""
