"""Own text: a `.txt` file, or a folder of them, as documents.

A form feed ends a document, and so does the end of a file. A long document is cut at a line
end or a space into pieces (of 8,000 characters, less where there is little text), so that
something can be held out. Bytes that are not UTF-8 become U+FFFD, NUL is dropped, and every
line end becomes a newline; what had to be mended is counted and said.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from raydistill.documents import Document, runs_of
from raydistill.errors import DataError
from raydistill.manifest import sha256_of

HELDOUT_EVERY = 16
LONGEST_CHARACTERS = 8_000
SHORTEST_CHARACTERS = 200

_log = logging.getLogger(__name__)


def files_of(path: Path) -> list[Path]:
    """The text files at `path`, sorted.

    Raises:
        DataError: if there is none.
    """
    if path.is_file() and path.suffix != ".txt":
        raise DataError(f"{path} is not a .txt file; a corpus is plain text")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.txt") if p.is_file())
    if not files:
        raise DataError(f"no .txt file in {path.absolute()}")
    return files


def fingerprint(path: Path) -> list[str]:
    """The sha256 of every text file at `path`: the corpus' identity before it is read."""
    return [sha256_of(file) for file in files_of(path)]


def read(path: Path) -> list[Document]:
    """The documents at `path`; each is its own unit, named by file and position."""
    root = path if path.is_dir() else path.parent
    texts = [(str(file.relative_to(root)), _decode(file)) for file in files_of(path)]
    total = sum(len(text) for _, text in texts)
    longest = min(LONGEST_CHARACTERS, max(SHORTEST_CHARACTERS, total // (2 * HELDOUT_EVERY)))
    return [
        Document(collection="own", unit=f"{name} {number}", text=piece)
        for name, text in texts
        for number, piece in enumerate(_pieces(text, longest), 1)
    ]


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents: one in 16, those whose text has the lowest sha256.

    Held-out text that also stands in training (12 words in a row) is counted and said.
    """
    ranked = sorted(documents, key=lambda document: hashlib.sha256(document.text.encode()).digest())
    size = max(1, len(documents) // HELDOUT_EVERY) if len(documents) > 1 else 0
    out = {document.unit for document in ranked[:size]}
    train = [document for document in documents if document.unit not in out]
    heldout = [document for document in documents if document.unit in out]
    repeated = _repeated(train, heldout)
    if repeated:
        _log.warning(
            "%d of %d held-out documents repeat 12 words in a row of training text",
            repeated,
            len(heldout),
        )
    return train, heldout


def _repeated(train: Sequence[Document], heldout: Sequence[Document]) -> int:
    """How many held-out documents share a run of words with training."""
    runs = [runs_of(document.text) for document in heldout]
    asked = set().union(*runs)
    known: set[int] = set()
    for document in train:  # one at a time: the runs of a large corpus do not fit into memory
        known |= asked & runs_of(document.text)
    return sum(not known.isdisjoint(own) for own in runs)


def _decode(file: Path) -> str:
    text = file.read_bytes().decode("utf-8", errors="replace").removeprefix("\ufeff")
    replaced, nul = text.count("\ufffd"), text.count("\0")
    if replaced or nul:
        _log.warning("%s: %d bytes not UTF-8 replaced, %d NUL dropped", file, replaced, nul)
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _pieces(text: str, longest: int) -> Iterator[str]:
    """Documents of `text`, each at most `longest` characters."""
    for part in text.split("\f"):
        start = 0
        while start < len(part):
            end = _cut(part, start, longest)
            if piece := part[start:end].strip():
                yield piece
            start = end


def _cut(text: str, start: int, longest: int) -> int:
    """Where the piece from `start` ends: after a line, else a word, else in its middle."""
    end = start + longest
    if end >= len(text):
        return len(text)
    earliest = start + longest // 2
    line, space = text.rfind("\n", earliest, end), text.rfind(" ", earliest, end)
    return line + 1 if line >= 0 else space + 1 if space >= 0 else end
