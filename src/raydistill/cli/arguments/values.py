"""The values of flags: text is read, or refused in one line that says what is allowed."""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from raydistill.core.errors import UsageError
from raydistill.core.units import parse_tokens
from raydistill.distillation.loss_name import loss_words
from raydistill.planning.axes.ranges import LOG, Range, stepped
from raydistill.planning.cell import Value
from raydistill.specs.locations import every_location, is_list
from raydistill.specs.recipe import is_setting, read_setting


def axis_values(
    name: str,
    texts: Sequence[str] | None,
    *,
    revisions: bool = False,
    own: Sequence[Value] = (),
) -> tuple[Value, ...]:
    """The values that a flag was given for an axis or a field, empty without the flag.

    Args:
        name: of the axis or field.
        texts: one for each time that the flag was written.
        revisions: whether ages are names of revisions, not tokens.
        own: the sweep's own values of an axis; if all are numbers, the flag takes numbers too.
    """
    values: list[Value] = []
    for item in items(name, texts or ()):
        ends = _ends(name, item, own)
        if name == "age" and revisions:
            values.append(item)
        elif ends is None:
            values.append(_value(name, item, own))
        elif ends.step in ("", LOG):
            raise UsageError(
                f"--{name} {item!r}: a range stands alone; a step makes values of it, "
                f"such as {item.partition(':')[0]}:STEP"
            )
        else:
            values += stepped(ends.low, ends.high, _value(name, ends.step, own))
    return tuple(values)


def axis_range(name: str, texts: Sequence[str], own: Sequence[Value] = ()) -> Range | None:
    """The range that a flag was given for a numeric axis, from which a search draws; else None.

    Raises:
        UsageError: if its ends are not in order, or 0 on a log scale.
    """
    every = items(name, texts)
    ends = _ends(name, every[0], own) if len(every) == 1 else None
    if ends is None or ends.step not in ("", LOG):
        return None
    whole = isinstance(ends.low, int)
    low, high = float(ends.low), float(ends.high)
    return Range(low=low, high=high, is_log=ends.step == LOG, is_whole=whole)


def loss_values(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The losses that a flag was given, and the names of the settings that have several values.

    >>> loss_values(["lm,kd+temperature=1,2"])
    (('lm', 'kd+temperature=1', 'kd+temperature=2'), ('temperature',))
    """
    losses: list[str] = []
    several: dict[str, None] = {}  # in order
    for text in items("loss", texts):
        name, *settings = loss_words(text)
        pairs = [setting.partition("=") for setting in settings]
        several |= {key: None for key, _, values in pairs if "," in values}
        choices = [[f"{key}{eq}{value}" for value in text.split(",")] for key, eq, text in pairs]
        losses += ["+".join([name, *chosen]) for chosen in itertools.product(*choices)]
    return tuple(losses), tuple(several)


def items(name: str, texts: Sequence[str]) -> list[str]:
    """The values of a flag as texts.

    Raises:
        UsageError: if one is empty.
    """
    every: list[str] = []
    for text in texts:
        of_text = _locations(text) if name == "location" else [i.strip() for i in text.split(",")]
        if not all(of_text):
            raise UsageError(f"--{name} {text!r} has an empty value: write values with commas")
        for item in of_text:
            if every and "+" in every[-1] and re.match(r"[-.\d]", item):
                every[-1] += f",{item}"  # of the setting of a loss
            else:
                every.append(item)
    return every


class _Ends(NamedTuple):
    low: int | float
    high: int | float
    step: str  # LOG, a number, or empty


def _ends(name: str, item: str, own: Sequence[Value]) -> _Ends | None:
    """The ends of `1e-5..1e-3:log`, of a numeric axis; None of anything else."""
    match = re.fullmatch(r"([^:]+?)\.\.([^:]+)(?::(.+))?", item)
    if match is None or name == "location":
        return None
    low, high = (_value(name, end.strip(), own) for end in (match[1], match[2]))
    if isinstance(low, str) or isinstance(high, str):
        return None
    step = (match[3] or "").strip()
    if re.match(r"[a-z]", step) and step != LOG:
        raise UsageError(f"--{name} {item!r}: behind the colon write {LOG}, or a step")
    return _Ends(low, high, step)


def _value(name: str, item: str, own: Sequence[Value]) -> Value:
    if is_setting(name):
        return read_setting(name, item)
    if name in ("age", "gap", "budget"):
        return parse_tokens(item)
    if name == "seed":
        return whole("--seed")(item)
    if name == "lr_factor":
        allowed = "times the recipe's peak rate, a number above 0"
        return number("--lr_factor", allowed, positive=True)(item)
    if name == "count":
        return layer_count(item)
    if own and all(type(value) is int for value in own):
        return parse_tokens(item)
    if own and all(type(value) in (int, float) for value in own):
        return number(f"--{name}", "a number from 0 on", positive=False)(item)
    return item


def _locations(text: str) -> list[str]:
    """Names, and lists of layers: `input,1,2,5-8` is `input` and `1,2,5-8`.

    `random-0-63` stands for 64 random sets.
    """
    names: list[str] = []
    for item in (item.strip() for item in text.split(",")):
        if item == "all":
            names += every_location()
        elif match := re.fullmatch(r"random-(\d{1,5})-(\d{1,5})", item):
            if int(match[1]) > int(match[2]):
                raise UsageError(f"--location {item}: write the lower number first")
            names += [f"random-{i}" for i in range(int(match[1]), int(match[2]) + 1)]
        elif names and is_list(item) and is_list(names[-1]):
            names[-1] += f",{item}"
        else:
            names.append(item)
    return names


def whole(flag: str, *, lowest: int = 1) -> Callable[[str], int]:
    """The type of a flag that takes whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < lowest:
            raise UsageError(f"{flag} {text!r}: a whole number from {lowest} on")
        return int(text)

    return read


def number(flag: str, allowed: str, *, positive: bool) -> Callable[[str], float]:
    """The type of a flag that takes finite numbers from 0 on, or above 0 if `positive`.

    `allowed` tells whoever wrote something else what the flag stands for, and its range.
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


def number_range(flag: str, allowed: str, *, most: float) -> Callable[[str], tuple[float, float]]:
    """The type of a flag that takes a number above 0 and up to `most`, or two: `0.3-0.5`."""
    one = number(flag, allowed, positive=True)

    def read(text: str) -> tuple[float, float]:
        ends = [one(part) for part in re.split(r"(?<!e)-", text, maxsplit=1)]
        if not ends[0] <= ends[-1] <= most:
            raise UsageError(f"{flag} {text!r}: {allowed}")
        return ends[0], ends[-1]

    return read


def assignment(flag: str, example: str) -> Callable[[str], tuple[str, str]]:
    """The type of a flag that takes `field=value`."""

    def read(text: str) -> tuple[str, str]:
        field, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{flag} {text!r}: write field=value, such as {example}")
        return field.strip(), value.strip()

    return read


def assignments(flag: str, example: str) -> Callable[[str], list[tuple[str, str]]]:
    """The type of a flag that takes several: `field=value,field=value`; a value may have commas."""
    read = assignment(flag, example)
    return lambda text: [read(part) for part in re.split(r",(?=\s*\w+=)", text)]


def layer_count(text: str) -> int:
    """How many layers leave; negative or too many is refused where the model is known.

    Raises:
        UsageError: if it is no whole number.
    """
    if not re.fullmatch(r"[-+]?\d{1,9}", text):
        raise UsageError(f"--count {text!r} is not a whole number of layers")
    return int(text)


def layer_counts(text: str) -> list[int]:
    """Several counts: `4,8`."""
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
