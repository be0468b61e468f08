"""Plain text: a `.txt` file as documents.

A form feed ends a document, and so does the end of the file. A long document is cut at a line
end or a space into pieces (of 8,000 characters, fewer if there is little text), so that some can
be held out. The text is streamed: memory does not grow with the file.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from raydistill.core.progress import streamed
from raydistill.data.documents import Document, end_of_piece
from raydistill.data.sources.cleaning import TextCleaner

MAX_CHARACTERS = 8_000  # of a piece
MIN_CHARACTERS = 200
MIN_PIECES = 32  # shorter pieces, if there would be fewer

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TextFile:
    """A `.txt` file, in pieces of at most `longest` characters."""

    path: Path
    name: str
    longest: int = MAX_CHARACTERS

    @property
    def num_bytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The pieces; each is its own unit, named by file and position."""
        number = 0
        for part in _parts(self.path, cleaner):
            for piece in filter(None, map(str.strip, _pieces(part, self.longest))):
                number += 1
                yield Document(collection="own", unit=f"{self.name} {number}", text=piece)


def longest_piece(files: Sequence[Path]) -> int:
    """The maximum length of pieces: shorter if all files together hold little."""
    total = 0
    for text in (text for file in files for text in _texts(file, TextCleaner())):
        total += len(text)
        if total >= MIN_PIECES * MAX_CHARACTERS:
            return MAX_CHARACTERS
    return max(MIN_CHARACTERS, total // MIN_PIECES)


def _texts(path: Path, cleaner: TextCleaner) -> Iterator[str]:
    """The text of a file, clean, block by block."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    carriage_return = ""  # at the end of a block: its newline may follow
    with path.open("rb") as file:
        is_first = True
        blocks = iter(partial(file.read, _READ_BYTES), b"")
        for raw in streamed(blocks, "reading", "bytes", path.stat().st_size, len):
            text = decoder.decode(raw)
            if is_first and text:
                text, is_first = text.removeprefix("\ufeff"), False
            cleaner.replaced += text.count("\ufffd")
            cleaner.nul += text.count("\0")
            text = carriage_return + text.replace("\0", "")
            carriage_return = "\r" if text.endswith("\r") else ""
            yield cleaner.clean(text.removesuffix("\r"))
        text = decoder.decode(b"", final=True)
        cleaner.replaced += text.count("\ufffd")
        yield cleaner.clean(carriage_return + text)


def _parts(path: Path, cleaner: TextCleaner) -> Iterator[Iterator[str]]:
    """The text between form feeds, every part block by block."""
    texts = _texts(path, cleaner)
    rest: list[str] = []  # of a block, after a form feed

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


def _pieces(part: Iterator[str], max_characters: int) -> Iterator[str]:
    buffer = ""
    for text in part:
        buffer += text
        start = 0
        while len(buffer) - start > max_characters:
            end = end_of_piece(buffer, start, max_characters)
            yield buffer[start:end]
            start = end
        buffer = buffer[start:]
    yield buffer
