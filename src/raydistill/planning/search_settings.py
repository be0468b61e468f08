"""Which cells, and what is searched for. Imports nothing heavy: `--dry-run` asks here too."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from raydistill.core.errors import UsageError, unknown

T = TypeVar("T")

GRID, RANDOM, TPE, FUNNEL = "grid", "random", "tpe", "funnel"

SEARCHES = (GRID, RANDOM, TPE, FUNNEL)

OBJECTIVES: Mapping[str, str] = {
    "delta_nll": "delta_nll_selection",
    "downstream": "downstream_drop_pct_selection",
    "parameters": "parameters",
    "flops": "flops_exact",
}
"""What may be minimised, and the metric of a finished trial that it is. Losses are those on the
half of the held-out documents kept for selection; FLOPs are those of training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """How a sweep goes through its cells.

    Attributes:
        name: one of `SEARCHES`.
        trials: how many distinct cells a random search or one by Optuna takes.
        objectives: what one by Optuna minimises.
        first: which cells it tries first: for each, the first one with these values.
        new_seeds: how often its winner is trained again, beside the best preset.
    """

    name: str = GRID
    trials: int = 0
    objectives: tuple[str, ...] = ("delta_nll",)
    first: Sequence[Mapping[str, str | int | float]] = ()
    new_seeds: int = 0


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


def check_objectives(names: Sequence[str]) -> None:
    """Refuse an objective that does not exist, and one that is named twice.

    Raises:
        UsageError: naming those there are, and the nearest.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise UsageError(unknown("objective", name, OBJECTIVES))
    if len(set(names)) < len(names):
        raise UsageError(f"objectives {', '.join(names)}: name each once")


def on_front(losses: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """The Pareto set: those that no other equals or beats in everything and beats in something.

    >>> on_front({"a": (1, 3), "b": (2, 2), "c": (2, 3), "d": (3, 1)})
    ('a', 'b', 'd')
    """
    return tuple(
        name
        for name, mine in losses.items()
        if not any(_dominates(other, mine) for other in losses.values())
    )


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
