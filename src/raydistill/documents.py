"""A text that is held out, or trained on, as a whole."""

import re
from dataclasses import dataclass

RUN_WORDS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text. What shares a `unit` is held out together; a `collection` is one style."""

    collection: str
    unit: str
    text: str


def runs_of(text: str) -> set[int]:
    """Hashes of every run of 12 words, punctuation and case aside; equal within one process."""
    words = re.findall(r"[a-z']+", text.lower())
    return {hash(tuple(words[i : i + RUN_WORDS])) for i in range(len(words) - RUN_WORDS + 1)}
