"""Held-out text that also stands in training: 12 words in a row, counted while training streams by.

The same question is asked on several workers, each of a part of the training text; what they saw
is put together by position, since all ask of the same `runs`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydistill.data.documents import runs_of

if TYPE_CHECKING:
    from raydistill.data.documents import Hashes


def all_runs(texts: Iterable[str]) -> "Hashes":
    """Every run of words of the held-out texts, ascending, each once."""
    found = [runs_of(text) for text in texts]
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)


def repeated_runs(runs: "Hashes", texts: Iterable[str]) -> list[int]:
    """Which of `runs`, by position, stand in `texts`, ascending."""
    seen = np.zeros(len(runs), dtype=bool)
    for text in texts:
        asked = runs_of(text)
        places = np.searchsorted(runs, asked)
        inside = places < len(runs)
        places, asked = places[inside], asked[inside]
        seen[places[runs[places] == asked]] = True
    return np.flatnonzero(seen).tolist()


def count_repeating(heldout: Sequence[str], runs: "Hashes", seen: Iterable[int]) -> int:
    """How many held-out texts have one of the runs at the positions `seen`."""
    known = runs[np.array(sorted(set(seen)), dtype=np.int64)]
    return sum(bool(np.isin(runs_of(text), known).any()) for text in heldout)
