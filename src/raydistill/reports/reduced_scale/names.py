"""How the page writes shapes, FLOPs, intervals and lists."""

from collections.abc import Iterable, Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Estimate
from raydistill.laws.fit import Estimate as LawEstimate
from raydistill.reports.reduced_scale.runs import AXES, Run, Shape
from raydistill.reports.results.caveats import joined

SHOWN = 6  # names in a sentence, at most


def label(run: Run) -> str:
    """A run without its scale, where it carries settings: `width=16`.

    >>> short("reduced+heads=2+width=16"), short("reduced")
    ('heads=2 width=16', 'reduced')
    """
    return short(run.name)


def short(name: str) -> str:
    """The settings of a scale's name; the name itself where it has none."""
    first, _, settings = name.partition("+")
    return settings.replace("+", " ") or first


def shape_name(shape: Shape, among: Sequence[Shape]) -> str:
    """A shape by what tells it from others: `width 16, layers 2`."""
    differs = [axis for axis in AXES if len({getattr(one, axis) for one in among}) > 1]
    return ", ".join(
        f"{axis.replace('_', '-')} {getattr(shape, axis)}" for axis in differs or AXES[:1]
    )


def flops_text(flops: float) -> str:
    """FLOPs in three digits.

    >>> flops_text(2.2e15), flops_text(1.234e13)
    ('2.2e15', '1.23e13')
    """
    mantissa, _, exponent = f"{flops:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def tokens_text(tokens: int) -> str:
    """Tokens in three digits.

    >>> tokens_text(1_998_848)
    '2M'
    """
    return format_tokens(round(float(f"{tokens:.3g}")))


def with_range(of: Estimate | LawEstimate, digits: int = 3) -> str:
    """A value with its 95 % interval, rounded alike.

    >>> with_range(Estimate(value=-0.12345, low=-0.2, high=0.00001))
    '-0.123 [-0.200 0.000]'
    """
    value, low, high = (round(n, digits) + 0.0 for n in (of.value, of.low, of.high))
    return f"{value:.{digits}f} [{low:.{digits}f} {high:.{digits}f}]"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence; the first six of many, and how many more.

    >>> listed("abc"), listed("abcdefgh")
    ('a, b and c', 'a, b, c, d, e, f and 2 more')
    """
    every = list(names)
    more = len(every) - SHOWN
    return joined([*every[:SHOWN], f"{more} more"] if more > 0 else every)
