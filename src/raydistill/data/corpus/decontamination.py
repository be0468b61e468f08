"""Runs of 12 words that held-out and training text share, counted while training text streams by.

Each worker looks for the same `runs` in its part of the training text; results are combined by
position in `runs`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydistill.data.documents import runs_of

if TYPE_CHECKING:
    from raydistill.data.documents import Hashes


def all_runs(texts: Iterable[str]) -> "Hashes":
    """The distinct runs of words in the held-out texts, ascending."""
    runs = [runs_of(text) for text in texts]
    return np.unique(np.concatenate(runs)) if runs else np.empty(0, dtype=np.uint64)


def repeated_runs(runs: "Hashes", texts: Iterable[str]) -> list[int]:
    """The positions of those `runs` that `texts` contain, ascending."""
    is_repeated = np.zeros(len(runs), dtype=bool)
    for text in texts if len(runs) else ():
        text_runs = runs_of(text)
        positions = np.searchsorted(runs, text_runs).clip(max=len(runs) - 1)
        is_repeated[positions[runs[positions] == text_runs]] = True
    return np.flatnonzero(is_repeated).tolist()


def count_repeating(heldout: Sequence[str], runs: "Hashes", positions: Iterable[int]) -> int:
    """The number of held-out texts with one of the runs at `positions`."""
    repeated = runs[np.array(sorted(set(positions)), dtype=np.int64)]
    return sum(bool(np.isin(runs_of(text), repeated).any()) for text in heldout)
