"""How a sweep's cells are searched, and for what. Imports nothing heavy: `--dry-run` uses it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from raydistill.core.errors import UsageError, unknown
from raydistill.core.field_types import check_fields

T = TypeVar("T")

GRID, RANDOM, TPE, FUNNEL = "grid", "random", "tpe", "funnel"
SEARCHES = (GRID, RANDOM, TPE, FUNNEL)

# What may be minimised, and its metric of a finished trial. Losses are those on the half of the
# held-out documents kept for selection; FLOPs are those of training.
OBJECTIVES: Mapping[str, str] = {
    "delta_nll": "delta_nll_selection",
    "downstream": "downstream_drop_pct_selection",
    "parameters": "parameters",
    "flops": "flops_exact",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """How a sweep's cells are searched.

    Attributes:
        name: one of `SEARCHES`.
        trials: how many distinct cells a random search or one by Optuna takes.
        objectives: what Optuna minimises.
        first: the cells that Optuna tries first: of each item, the first cell with its values.
        new_seeds: on how many new seeds its winner and the best preset are trained.
    """

    name: str = GRID
    trials: int = 0
    objectives: tuple[str, ...] = ("delta_nll",)
    first: Sequence[Mapping[str, str | int | float]] = ()
    new_seeds: int = 0

    def __post_init__(self) -> None:
        check_fields(self)


def check_search(name: str) -> None:
    """Refuse a search that does not exist.

    Raises:
        UsageError: naming those there are, and the nearest.
    """
    if name not in SEARCHES:
        raise UsageError(unknown("search", name, SEARCHES))


def first_of_permutation(cells: Sequence[T], trials: int, seed: int) -> list[T]:
    """The first `trials` cells of a permutation that `seed` decides.

    So more trials contain the cells of fewer.

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
    """The Pareto set: the names whose losses no other dominates.

    >>> on_front({"a": (1, 3), "b": (2, 2), "c": (2, 3), "d": (3, 1)})
    ('a', 'b', 'd')
    """
    return tuple(
        name
        for name, own in losses.items()
        if not any(_dominates(other, own) for other in losses.values())
    )


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))
