"""Ranges of an axis, from which a search draws: `1e-5..1e-3:log`, `0..0.1`."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.core.errors import UsageError
from raydistill.planning.cell import Value, shortest
from raydistill.specs.locations import NONE
from raydistill.specs.recipe import field_named, is_setting
from raydistill.specs.scale import Scale

LOG = "log"
MOST_STEPS = 10_000  # of a range with a step
DIGITS = 3  # of a drawn value, so that it can be written and read

# The values of each range that TPE chooses from, by how many ranges there are: it draws between
# both ends, and takes the nearest.
LEVELS = {1: 64, 2: 24}
FEWEST_LEVELS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The numbers from `low` to `high`, both included; `is_whole`: multiples of `step`."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    step: int = 1

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
            return round(value / self.step) * self.step
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


def in_steps(ranges: Mapping[str, Range], scale: Scale) -> dict[str, Range]:
    """The ranges, those of a recipe's tokens in what the recipe takes: whole steps, or batches.

    Raises:
        UsageError: if a range does not hold two of these.
    """
    heal = scale.heal
    windows = scale.model.context * heal.micro_batches
    steps = {
        "warmup_tokens": heal.batch_tokens,
        "warm_phase_tokens": heal.batch_tokens,
        "batch_tokens": windows,
    }
    fields = {name: field_named(name) for name in ranges if is_setting(name)}
    return {
        name: _in_steps(name, of_axis, steps.get(fields.get(name, ""), 1))
        for name, of_axis in ranges.items()
    }


def _in_steps(name: str, of_axis: Range, step: int) -> Range:
    low, high = math.ceil(of_axis.low / step) * step, math.floor(of_axis.high / step) * step
    if step == 1:
        return of_axis
    if low >= high:
        raise UsageError(
            f"{name}={of_axis}: drawn in multiples of {step}, of which it holds no two"
        )
    return replace(of_axis, low=low, high=high, step=step)


def drawn_points(
    points: Sequence[Mapping[str, Value]], ranges: Mapping[str, Range], seed: int, places: int
) -> Iterator[list[dict[str, Value]]]:
    """At each place a point with what is drawn there, and the control at the same, if any is."""
    removing = [point for point in points if point.get("location") != NONE] or points
    for place in range(places):
        drawn = {name: of_axis.drawn(name, seed, place) for name, of_axis in ranges.items()}
        point = {**removing[place % len(removing)], **drawn}
        has_control = len(removing) < len(points)
        yield [point, {**point, "location": NONE}] if has_control else [point]


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
