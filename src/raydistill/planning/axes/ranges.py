"""Ranges of an axis, from which a search draws: `1e-5..1e-3:log`, `0..0.1`."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from raydistill.core.errors import UsageError
from raydistill.planning.cell import Value, shortest

LOG = "log"
MOST_STEPS = 10_000  # of a range with a step
DIGITS = 3  # of a drawn value, so that it can be written and read

# The values of each range that TPE chooses from, by how many ranges there are: it draws between
# both ends, and takes the nearest.
LEVELS = {1: 64, 2: 24}
FEWEST_LEVELS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The numbers from `low` to `high`, both included; `whole`: whole ones."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UsageError(f"range {self}: write the lower end first")
        if self.is_log and self.low <= 0:
            raise UsageError(f"range {self}: on a log scale both ends are above 0")

    def __str__(self) -> str:
        ends = f"{shortest(self.low)}..{shortest(self.high)}"
        return f"{ends}:{LOG}" if self.is_log else ends

    def at(self, share: float) -> Value:
        """The number at a share of the way from `low` to `high`, in three digits.

        >>> Range(low=1e-5, high=1e-3, is_log=True).at(0.5), Range(low=0, high=0.1).at(0.25)
        (0.0001, 0.025)
        """
        if self.is_log:
            value = math.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)
        else:
            value = self.low + (self.high - self.low) * share
        if self.is_whole:
            return round(value)
        return shortest(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    def drawn(self, axis: str, seed: int, place: int) -> Value:
        """The value of the cell at a place of a random search, which `seed` decides."""
        return self.at(random.Random(f"range/{axis}/{seed}/{place}").random())

    def levels(self, number: int) -> tuple[Value, ...]:
        """So many numbers, or fewer, evenly from end to end."""
        return tuple(dict.fromkeys(self.at(i / (number - 1)) for i in range(number)))


def levels_of(ranges: Mapping[str, Range]) -> dict[str, tuple[Value, ...]]:
    """The values of each range that TPE chooses from."""
    number = LEVELS.get(len(ranges), FEWEST_LEVELS)
    return {name: of_axis.levels(number) for name, of_axis in ranges.items()}


def stepped(low: Value, high: Value, step: Value) -> tuple[Value, ...]:
    """The numbers from `low` to at most `high`, so far apart.

    Raises:
        UsageError: if the step is not above 0, reaches no second number, or very many.

    >>> stepped(0, 0.1, 0.05), stepped(2, 7, 2)
    ((0, 0.05, 0.1), (2, 4, 6))
    """
    first, last, apart = float(low), float(high), float(step)
    if not (apart > 0 and first + apart <= last * (1 + 1e-9)):
        raise UsageError(f"range {low}..{high}:{step}: a step above 0, up to {high}")
    steps = (last - first) / apart + 1e-9
    if not steps < MOST_STEPS:
        raise UsageError(f"range {low}..{high}:{step}: more than {MOST_STEPS:,} values")
    number = int(steps) + 1
    values = (shortest(float(f"{first + i * apart:.12g}")) for i in range(number))
    return tuple(values)
