"""A text that is held out, or trained on, as a whole."""

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


if TYPE_CHECKING:
    Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]

RUN_WORDS = 12

_BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it loses bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text. What shares a `unit` is held out together; a `collection` is one style."""

    collection: str
    unit: str
    text: str


def cut_at(text: str, start: int, longest: int) -> int:
    """Where a piece from `start` ends: after a line, else a word, else in its middle."""
    end = start + longest
    if end >= len(text):
        return len(text)
    earliest = start + longest // 2
    line, space = text.rfind("\n", earliest, end), text.rfind(" ", earliest, end)
    return line + 1 if line >= 0 else space + 1 if space >= 0 else end


def runs_of(text: str) -> "Hashes":
    """Hashes of every run of 12 words, punctuation and case aside: ascending, each once."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    words = re.findall(r"[a-z']+", text.lower())
    size = len(words) - RUN_WORDS + 1
    if size < 1:
        return np.empty(0, dtype=np.uint64)
    hashes = np.fromiter(map(_hash, words), dtype=np.uint64, count=len(words))
    runs = np.zeros(size, dtype=np.uint64)
    for place in range(RUN_WORDS):  # a polynomial modulo 2**64
        runs = runs * np.uint64(_BASE) + hashes[place : place + size]
    return np.unique(runs)


@functools.lru_cache(maxsize=1 << 17)
def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
