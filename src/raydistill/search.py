"""Which cells, decided beforehand. Imports nothing heavy: `--dry-run` asks here too."""

import random
from collections.abc import Sequence
from typing import TypeVar

from raydistill.errors import UsageError, unknown

T = TypeVar("T")

SEARCHES = ("grid", "random", "tpe")


def check_search(name: str) -> None:
    """Refuse a search that does not exist.

    Raises:
        UsageError: naming those there are, and the nearest.
    """
    if name not in SEARCHES:
        raise UsageError(unknown("search", name, SEARCHES))


def first_of_permutation(cells: Sequence[T], trials: int, seed: int) -> list[T]:
    """The first `trials` cells of a permutation that `seed` decides.

    So a larger number of trials keeps the cells of a smaller one.

    >>> first_of_permutation("abcdef", 2, seed=0) == first_of_permutation("abcdef", 3, seed=0)[:2]
    True
    """
    shuffled = list(cells)
    random.Random(f"cells/{seed}").shuffle(shuffled)
    return shuffled[:trials]
