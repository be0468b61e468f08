"""Plain text: a `.txt` file as documents.

A form feed ends a document, and so does the end of the file. A long document is cut at a line
end or a space into pieces (of 8,000 characters, less where there is little text), so that
something can be held out. The text streams by: memory does not grow with the file.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.data.documents import Document, cut_at
from raydistill.data.sources.cleaning import TextCleaner

LONGEST_CHARACTERS = 8_000

SHORTEST_CHARACTERS = 200

LITTLE_TEXT = 32 * LONGEST_CHARACTERS  # from here on there are pieces enough

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TextFile:
    """A `.txt` file; no piece of it is longer than `longest` characters."""

    path: Path
    name: str
    longest: int = LONGEST_CHARACTERS

    def documents(self, mended: TextCleaner) -> Iterator[Document]:
        """The pieces; each is its own unit, named by file and position."""
        pieces = (piece for part in _parts(self.path, mended) for piece in _pieces(part, self))
        for number, piece in enumerate(pieces, 1):
            yield Document(collection="own", unit=f"{self.name} {number}", text=piece)


def longest_piece(files: Sequence[Path]) -> int:
    """How long pieces may be: shorter where all files together hold little."""
    total = 0
    for file in files:
        for text in _texts(file, TextCleaner()):
            total += len(text)
            if total >= LITTLE_TEXT:
                return LONGEST_CHARACTERS
    return max(SHORTEST_CHARACTERS, total // 32)


def _texts(path: Path, mended: TextCleaner) -> Iterator[str]:
    """The text of a file, clean, a little at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held = ""  # a carriage return whose newline may follow
    with path.open("rb") as file:
        first = True
        while raw := file.read(_READ_BYTES):
            text = decoder.decode(raw)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            mended.replaced += text.count("\ufffd")
            mended.nul += text.count("\0")
            text = held + text.replace("\0", "")
            held = "\r" if text.endswith("\r") else ""
            yield mended.clean(text.removesuffix("\r"))
        text = decoder.decode(b"", final=True)
        mended.replaced += text.count("\ufffd")
        yield mended.clean(held + text)


def _parts(path: Path, mended: TextCleaner) -> Iterator[Iterator[str]]:
    """The text between form feeds, each part as the texts that it comes in."""
    texts = _texts(path, mended)
    rest: list[str] = []

    def part() -> Iterator[str]:
        while True:
            text = rest.pop() if rest else next(texts, None)
            if text is None:
                return
            before, feed, after = text.partition("\f")
            yield before
            if feed:
                rest.append(after)
                return

    yield part()
    while rest:
        yield part()


def _pieces(part: Iterator[str], file: TextFile) -> Iterator[str]:
    """A part in pieces of at most `file.longest` characters, none of them blank."""
    buffer = ""
    for text in part:
        buffer += text
        start = 0
        while len(buffer) - start > file.longest:
            end = cut_at(buffer, start, file.longest)
            if piece := buffer[start:end].strip():
                yield piece
            start = end
        buffer = buffer[start:]
    if piece := buffer.strip():
        yield piece
