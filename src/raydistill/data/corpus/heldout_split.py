"""The held-out documents of own text: one in 16, those with the lowest sha256, at most 4,096.

So neither choosing them nor measuring on them takes more memory as text grows.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from raydistill.core.progress import tracked
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.source import File
from raydistill.data.words import Kept

HELDOUT_EVERY = 16
MAX_HELDOUT = 4_096


def size_of(file: File) -> int:
    """Bytes of a file, of which reading takes its time."""
    return file.num_bytes


class Chosen(NamedTuple):
    """The units to hold out, a note on every file that was mended, and what filters left."""

    units: tuple[str, ...]
    notes: list[str]
    kept: Kept


def choose_units(files: Sequence[File], *, every: int = HELDOUT_EVERY) -> Chosen:
    """One document in `every`, to hold out.

    A single document is not held out, unless `every` is 1.
    """
    lowest: list[tuple[int, int, str]] = []  # a heap: the highest sha256 first, then the last
    num_documents = 0
    notes, kept = [], Kept()
    for file in tracked(files, "choosing held-out text", "bytes", size=size_of):
        cleaner = TextCleaner()
        for document in file.documents(cleaner):
            sha256 = hashlib.sha256(document.text.encode()).digest()
            entry = (-int.from_bytes(sha256), -num_documents, document.unit)
            num_documents += 1
            (heapq.heappush if len(lowest) < MAX_HELDOUT else heapq.heappushpop)(lowest, entry)
        kept.add(cleaner.kept)
        if note := cleaner.note(getattr(file, "path", file)):
            notes.append(note)
    size = num_documents
    if every > 1:
        size = max(1, num_documents // every) if num_documents > 1 else 0
    units = tuple(unit for _, _, unit in sorted(lowest, reverse=True)[:size])
    return Chosen(units, notes, kept)


def read_units(files: Sequence[File], units: Iterable[str]) -> Iterator[Document]:
    """The documents of those units, in order."""
    names = frozenset(units)
    opened = tracked(files, "reading held-out text", "bytes", size=size_of)
    documents = (document for file in opened for document in file.documents(TextCleaner()))
    return (document for document in documents if document.unit in names)
