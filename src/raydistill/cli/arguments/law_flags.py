"""The flags of `raydistill law`, and their values: sizes, teachers, and who shares them."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from raydistill.cli.arguments.parser import flag
from raydistill.cli.arguments.values import assignments
from raydistill.core.errors import UsageError

NONE = "none"  # among the candidates: no teacher
EXISTING = "existing"  # a teacher that is there anyway
_SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class TeacherText(NamedTuple):
    """`7B@2.1` or `7B@2.1@300B`, as it was written."""

    text: str
    params: float
    loss: float  # nats per token
    tokens: float | None  # that it was trained on, if they were given


def quantity(flag: str, what: str = "parameters") -> Callable[[str], float]:
    """The type of a flag that takes an amount above 0: `3B`, `2.7e9` or every digit."""

    def read(text: str) -> float:
        match = re.fullmatch(r"(\d+\.?\d*(?:e\+?\d+)?)\s*([KMBT]?)", text.strip(), re.IGNORECASE)
        value = float(match[1]) * _SUFFIXES[match[2].upper()] if match else 0.0
        if not 0 < value < math.inf:
            raise UsageError(f"{flag} {text!r}: {what} above 0, such as 3B, 143M or 2914667520")
        return value

    return read


def teacher_list(text: str) -> list[TeacherText | None]:
    """The candidates of `7B@2.1,13B@1.9,none`; None is no teacher.

    Raises:
        UsageError: if one is written otherwise, or twice.
    """
    words = [word.strip() for word in text.split(",")]
    if repeated := [word for word in words if words.count(word) > 1]:
        raise UsageError(f"--teachers {repeated[0]!r} is given twice: give it once")
    return [None if word == NONE else _teacher(word) for word in words]


def _teacher(word: str) -> TeacherText:
    size, *numbers = word.split("@")
    if len(numbers) not in (1, 2) or not re.fullmatch(r"\d+\.?\d*|\.\d+", numbers[0]):
        raise UsageError(
            f"--teachers {word!r}: write SIZE@LOSS, such as 7B@2.1 (or 7B@2.1@300B with its "
            f"training tokens), or {NONE}"
        )
    loss = float(numbers[0])
    if not loss:
        raise UsageError(f"--teachers {word!r}: a loss above 0, in nats per token")
    tokens = quantity("--teachers", "training tokens")(numbers[1]) if numbers[1:] else None
    return TeacherText(word, quantity("--teachers")(size), loss, tokens)


def share(text: str) -> float:
    """How many students share a teacher: a whole number, or inf for one that is there anyway.

    Raises:
        UsageError: if it is neither.
    """
    if text == EXISTING:
        return math.inf
    if not re.fullmatch(r"\d{1,9}", text) or not int(text):
        what = f"how many students share a teacher, from 1 on, or {EXISTING}"
        raise UsageError(f"--share {text!r}: {what}")
    return float(text)


def fields(flag_name: str, example: str) -> Callable[[str], dict[str, str]]:
    """The type of a flag that gives each field once: `params=n,tokens=d`."""
    pairs = assignments(flag_name, example)

    def read(text: str) -> dict[str, str]:
        given = pairs(text)
        if len(by_name := dict(given)) < len(given):
            raise UsageError(f"{flag_name} {text!r} gives a field twice")
        return by_name

    return read


def place(text: str) -> dict[str, float]:
    """The place of a prediction: `params=70B,tokens=1.4T`.

    Raises:
        UsageError: if a value is no amount above 0, or a field comes twice.
    """
    read, given = quantity("--at", "an amount"), fields("--at", "params=70B,tokens=1.4T")(text)
    return {name: read(value) for name, value in given.items()}


JSON = flag("--json", action="store_true", help="for programs")
_OUTPUT = (
    flag("--far", action="store_true", help="also beyond 30 times the range of the points"),
    flag("--plot", metavar="FILE", help="a picture, .png or .svg"),
    JSON,
)
FIT = (
    flag("table", metavar="FILE", help="CSV with a header, a run a row"),
    flag("--form", required=True, help="chinchilla, distillation, capacity-gap, power, …"),
    flag(
        "--columns",
        type=fields("--columns", "params=n"),
        default={},
        metavar="params=n,loss=final_loss",
        help="the columns that have other names than the form's",
    ),
    flag(
        "--objective",
        choices=("least-squares", "huber"),
        default="least-squares",
        help="huber: a few bad runs move it less",
    ),
    flag("--at", type=place, action="append", default=[], help="predict: params=70B,tokens=1.4T"),
    flag("--save", action="store_true", help="keep it in the storage"),
    *_OUTPUT,
)
FRONT = (
    flag("--flops", type=quantity("--flops", "FLOPs"), required=True, help="of the pretraining"),
    flag(
        "--rule",
        choices=("honey", "exact"),
        default="honey",
        help="of counting them: the paper's, or every matrix product (honey)",
    ),
    flag("--law", help="the id of a fit (the last one kept)"),
    *_OUTPUT,
)
CAPACITY_GAP = (
    flag("--student", type=quantity("--student"), required=True, help="parameters: 3B, 143M"),
    flag("--flops", type=quantity("--flops", "FLOPs"), help="the budget of one student"),
    flag("--teachers", type=teacher_list, help="who may: 7B@2.1,13B@1.9,none (SIZE@LOSS)"),
    flag("--share", type=share, help=f"students that share a teacher (1), or {EXISTING}"),
    flag("--law", help="the id of a fit (the last one kept), or published"),
    *_OUTPUT,
)
