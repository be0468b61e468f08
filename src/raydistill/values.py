"""What flags take: `argparse` types whose refusal names flag, value and what is allowed."""

import math
import re
from collections.abc import Callable

from raydistill.errors import UsageError


def whole(flag: str, *, lowest: int = 1) -> Callable[[str], int]:
    """The type of a flag that takes whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < lowest:
            raise UsageError(f"{flag} {text!r}: a whole number from {lowest} on")
        return int(text)

    return read


def number(flag: str, allowed: str, *, positive: bool) -> Callable[[str], float]:
    """The type of a flag that takes finite numbers above 0, or from 0 on.

    Args:
        flag: as it is written.
        allowed: what the flag stands for and its range, for the one who wrote something else.
        positive: whether 0 is refused.
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf or (positive and not value):
            raise UsageError(f"{flag} {text!r}: {allowed}")
        return value

    return read


def assignment(flag: str, example: str) -> Callable[[str], tuple[str, str]]:
    """The type of a flag that takes `field=value`."""

    def read(text: str) -> tuple[str, str]:
        field, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{flag} {text!r}: write field=value, such as {example}")
        return field.strip(), value.strip()

    return read


def layer_count(text: str) -> int:
    """How many layers leave; whether they may is the model's to say.

    Raises:
        UsageError: if it is no whole number.
    """
    if not re.fullmatch(r"[-+]?\d{1,9}", text):
        raise UsageError(f"--count {text!r} is not a whole number of layers")
    return int(text)


def layer_counts(text: str) -> list[int]:
    """Several of them: `4,8`."""
    return [layer_count(item.strip()) for item in text.split(",")]


def device_range(text: str) -> range:
    """On how many devices one trial may train: `2`, or `1-2` if it is elastic.

    Raises:
        UsageError: if it is no whole number, or a range from more to fewer.
    """
    flag = "--devices-per-trial"
    counts = [whole(flag)(part) for part in text.split("-", 1)]
    if counts[0] > counts[-1]:
        raise UsageError(f"{flag} {text}: write the fewer first")
    return range(counts[0], counts[-1] + 1)
