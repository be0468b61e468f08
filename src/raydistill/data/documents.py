"""Documents, which are held out or trained on as a whole, and the runs of words they share."""

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]

RUN_WORDS = 12
_BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it loses bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text. Documents of one `unit` are held out together; a `collection` has one style.

    Of a conversation, `assistant` are the characters [start, end) of each turn that is learned.
    """

    collection: str
    unit: str
    text: str
    assistant: tuple[tuple[int, int], ...] = ()

    @property
    def learned(self) -> str:
        """What a model is taught of it: of a conversation what the assistant says."""
        if not self.assistant:
            return self.text
        return "\n".join(self.text[start:end] for start, end in self.assistant)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passages:
    """A document in passages: verses, numbered alike in all collections, or sentences."""

    collection: str
    unit: str
    texts: tuple[str, ...]  # empty where the corpus lacks a verse
    are_verses: bool = False


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each with the quotes and brackets that close behind its end.

    What follows the last full stop, question or exclamation mark is none.

    >>> sentences_of('He said: "Go!" She went. And')
    ['He said: "Go!"', ' She went.']
    """
    return re.findall(r"[^.?!]+[.?!]+['\")]*", text)


def end_of_piece(text: str, start: int, max_characters: int) -> int:
    """The end of a piece that begins at `start`: after a line, else a word, else anywhere."""
    end = start + max_characters
    if end >= len(text):
        return len(text)
    earliest = start + max_characters // 2
    line, space = text.rfind("\n", earliest, end), text.rfind(" ", earliest, end)
    return line + 1 if line >= 0 else space + 1 if space >= 0 else end


def runs_of(text: str) -> "Hashes":
    """Hashes of the distinct runs of 12 words, without punctuation and case, ascending."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    words = re.findall(r"[a-z']+", text.lower())
    size = len(words) - RUN_WORDS + 1
    if size < 1:
        return np.empty(0, dtype=np.uint64)
    hashes = np.fromiter(map(_hash, words), dtype=np.uint64, count=len(words))
    runs = np.zeros(size, dtype=np.uint64)
    for offset in range(RUN_WORDS):  # a polynomial modulo 2**64
        runs = runs * np.uint64(_BASE) + hashes[offset : offset + size]
    return np.unique(runs)


@functools.lru_cache(maxsize=1 << 17)
def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
