"""Which documents of own text are held out: one in 16, those whose text has the lowest sha256.

At most 4,096, so that neither choosing them nor measuring on them takes more memory as text grows.
"""

import hashlib
import heapq
import logging
from collections.abc import Iterable, Iterator, Sequence

from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.source import File

EVERY = 16

MOST = 4_096

_log = logging.getLogger(__name__)


def choose(files: Iterable[File], *, every: int = EVERY) -> tuple[tuple[str, ...], list[str]]:
    """The units to hold out, one document in `every`; and what had to be mended, file by file.

    A single document is not held out, unless every one is.
    """
    lowest: list[tuple[int, int, str]] = []  # a heap: the highest sha256 first, then the last
    documents = 0
    notes = []
    for file in files:
        mended = TextCleaner()
        for document in file.documents(mended):
            sha256 = hashlib.sha256(document.text.encode()).digest()
            entry = (-int.from_bytes(sha256), -documents, document.unit)
            documents += 1
            (heapq.heappush if len(lowest) < MOST else heapq.heappushpop)(lowest, entry)
        if note := mended.note(getattr(file, "path", file)):
            notes.append(note)
            _log.warning(note)
    size = documents if every == 1 else max(1, documents // every) if documents > 1 else 0
    return tuple(unit for _, _, unit in sorted(lowest, reverse=True)[:size]), notes


def read_units(files: Sequence[File], units: Iterable[str]) -> Iterator[Document]:
    """The documents of those units, in order."""
    wanted = frozenset(units)
    for file in files:
        for document in file.documents(TextCleaner()):
            if document.unit in wanted:
                yield document
