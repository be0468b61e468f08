"""Token counts, FLOPs, seconds and bytes as people write them, and drops in percent."""

import math
import re
from decimal import Decimal

from raydistill.core.errors import UsageError

K = 1_000
M = 1_000_000
B = 1_000_000_000
_SUFFIXES = {"": 1, "K": K, "M": M, "B": B}


def parse_tokens(text: str) -> int:
    """A token count such as `80B`, `1.5M`, `300k` or `4096`.

    Raises:
        UsageError: if `text` is not a number with an optional K, M or B, or not a whole token.

    >>> parse_tokens("80B")
    80000000000
    """
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([KMB]?)", text.strip().upper())
    if match is None:
        raise UsageError(
            f"{text!r} is not a token count: write a number, with K, M or B behind it for "
            "thousands, millions or billions, as 4096, 300K, 1.5M or 80B"
        )
    tokens = Decimal(match[1]) * _SUFFIXES[match[2]]  # as a float, 4.1B is not whole
    if tokens != int(tokens):
        raise UsageError(f"{text!r} is not a whole number of tokens")
    return int(tokens)


def format_tokens(tokens: int) -> str:
    """The shortest exact-looking form with at most three digits after the point.

    >>> [format_tokens(t) for t in (80 * B, 1_500_000, 319_488, 500)]
    ['80B', '1.5M', '319.488K', '500']
    """
    for suffix, unit in (("B", B), ("M", M), ("K", K)):
        if abs(tokens) >= unit:
            return f"{tokens / unit:.3f}".rstrip("0").rstrip(".") + suffix
    return str(tokens)


def exact_tokens(tokens: int) -> str:
    """A form that `parse_tokens` reads back: `20B` where that is exact, else every digit.

    >>> exact_tokens(20 * B), exact_tokens(1_234_567_891)
    ('20B', '1234567891')
    """
    text = format_tokens(tokens)
    return text if parse_tokens(text) == tokens else str(tokens)


def format_amount(value: float) -> str:
    """Any finite number in four digits: a size, a loss, FLOPs.

    >>> [format_amount(v) for v in (7.4825e9, 1.4e12, 2.1034, 0.00021, 1e22, -11.498e6)]
    ['7.482B', '1.4T', '2.103', '0.00021', '1e22', '-11.5M']
    """
    for suffix, unit in (("T", 10**12), ("B", B), ("M", M), ("K", K)):
        if max(unit, 10 * K) <= abs(value) < 10**15:
            return f"{value / unit:.4g}{suffix}"
    return f"{value:.4g}".replace("e+", "e").replace("e0", "e")


def format_age(age: int | str) -> str:
    """Tokens that a base has seen, so that they can be read back, or the name of a revision.

    >>> format_age(80 * B), format_age(1_162_444_800), format_age("step1000")
    ('80B', '1162444800', 'step1000')
    """
    return exact_tokens(age) if isinstance(age, int) else age


def format_flops(flops: int, digits: int = 2) -> str:
    """FLOPs in two digits, or as many as `digits`.

    >>> format_flops(21_301_739_520_000_000_000), format_flops(8_602_612_295_270_400, 3)
    ('2.1e19', '8.60e15')
    """
    mantissa, _, exponent = f"{flops:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def format_seconds(seconds: float) -> str:
    """A duration in two digits or so; `?` where nobody knows.

    >>> [format_seconds(s) for s in (0.4, 42.0, 600.0, 90_000.0, math.inf)]
    ['0.4s', '42s', '10m', '25h', '?']
    """
    if math.isinf(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 120:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.0f}h"


def format_bytes(size: int) -> str:
    """Bytes in three digits, by powers of 1,000.

    >>> [format_bytes(size) for size in (512, 2_534_000, 17_200_000_000)]
    ['512 B', '2.53 MB', '17.2 GB']
    """
    for suffix, unit in (("TB", 10**12), ("GB", B), ("MB", M), ("kB", K)):
        if size >= unit:
            return f"{size / unit:.3g} {suffix}"
    return f"{size} B"


def format_money(amount: float) -> str:
    """An amount in whatever currency; small ones in two digits, `?` where nobody knows.

    >>> [format_money(amount) for amount in (1234.5, 0.000844, 0.0, math.inf)]
    ['1234.50', '0.00084', '0', '?']
    """
    if math.isinf(amount):
        return "?"
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.2g}"


def ratio_drop_pct(before: float, after: float) -> float:
    """Percent of a higher-is-better value lost, 100·(1 − after/before); positive is worse.

    >>> round(ratio_drop_pct(0.5591, 0.5289), 1)
    5.4
    """
    return 100 * (1 - after / before)


def ratio_rise_pct(before: float, after: float) -> float:
    """Percent by which a lower-is-better value grew, 100·(after/before − 1); positive is worse.

    >>> round(ratio_rise_pct(15.594, 24.76), 1)
    58.8
    """
    return 100 * (after / before - 1)
