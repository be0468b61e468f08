"""The words of a text, and what is left of a text of which only some words are allowed.

A word is letters and digits in any case, with apostrophes inside: `God's` is one, `e-mail` two.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raydistill.core.errors import DataError
from raydistill.core.paths import resolve_path

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’)\]])\s+")


def words_of(text: str) -> list[str]:
    """The words of a text in order, case-folded.

    >>> words_of("God’s e-mail: 2 Words.")
    ["god's", 'e', 'mail', '2', 'words']
    """
    return _WORD.findall(text.replace("’", "'").casefold())


def most_frequent(counts: Counter[str], size: int) -> frozenset[str]:
    """The `size` words that are counted most; of those as frequent, the first by alphabet."""
    ranked = sorted(counts.items(), key=lambda word: (-word[1], word[0]))
    return frozenset(word for word, _ in ranked[:size])


def read_words(file: str) -> frozenset[str]:
    """The words of a file of allowed words, one a line.

    Raises:
        DataError: if it is missing, is not UTF-8 text, or has no word in it.
    """
    path = resolve_path(file).absolute()
    if not path.is_file():
        raise DataError(f"no file of words at {path}: name a text file with a word a line")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{path} is not UTF-8 text: a file of words has a word a line")
    if not (words := frozenset(words_of(text))):
        raise DataError(f"{path} has no word in it: write a word a line")
    return words


@dataclass(kw_only=True, slots=True)
class Kept:
    """How much of a text is left: its pieces, and their words; filled while it is filtered."""

    kind: str = "sentences"  # the name of the pieces
    allowed: int = 0  # how many words are
    pieces: int = 0
    pieces_kept: int = 0
    words: int = 0
    words_kept: int = 0

    def filtered(self, pieces: Iterable[str], allowed: frozenset[str]) -> Iterator[str]:
        """Those pieces that have words, all of them allowed."""
        self.allowed = len(allowed)
        for piece in pieces:
            words = words_of(piece)
            self.pieces += 1
            self.words += len(words)
            if words and allowed.issuperset(words):
                self.pieces_kept += 1
                self.words_kept += len(words)
                yield piece

    def add(self, other: "Kept") -> None:
        """Count what another part of the text has."""
        self.kind, self.allowed = other.kind, other.allowed
        self.pieces += other.pieces
        self.pieces_kept += other.pieces_kept
        self.words += other.words
        self.words_kept += other.words_kept

    def note(self, name: str) -> str:
        """A sentence on what is left of the text of that name; empty if nothing was filtered."""
        if not self.pieces:
            return ""
        pieces = 100 * self.pieces_kept / max(1, self.pieces)
        words = 100 * self.words_kept / max(1, self.words)
        return (
            f"{name}: {self.pieces_kept:,} of {self.pieces:,} {self.kind} ({pieces:.3g} %, with "
            f"{words:.3g} % of the words) have only some of {self.allowed:,} allowed words; the "
            "others are left out"
        )


def filtered_text(text: str, allowed: frozenset[str], kept: Kept) -> str:
    """The sentences of a text that have words, all of them allowed; lines without any are left out.

    A sentence ends with its line, or at a space behind `.`, `!`, `?` or `…`.
    """
    lines = (
        kept.filtered(filter(str.strip, _SENTENCE_END.split(line)), allowed)
        for line in text.split("\n")
    )
    return "\n".join(filter(None, map(" ".join, lines)))
