"""A scale where an axis or a flag names it (`size`, `teacher`), by one name alone."""

from collections.abc import Iterable

from raydistill.specs.scale import is_scale, load_scale
from raydistill.specs.shape.run_settings import TOKENS
from raydistill.specs.trial import Age


def canonical(text: str) -> str:
    """`SCALE` or `SCALE@AGE` by the scale's canonical name; anything else as is.

    Raises:
        UsageError: if there is no such setting, or no such model.

    >>> canonical("laptop+width=48+layers=4@80B"), canonical("laptop-small"), canonical("own")
    ('laptop+layers=4+width=48@80B', 'laptop_small', 'own')
    """
    name, at, age = text.partition("@")
    return f"{load_scale(name).name}{at}{age}" if is_scale(name) else text


def own_ages(sizes: Iterable[object]) -> list[Age]:
    """The ages of sizes whose names say how long they are pretrained.

    Raises:
        UsageError: if there is no such scale.
    """
    named = (str(size) for size in sizes)
    return [age for name in named if f"+{TOKENS}=" in name for age in load_scale(name).ages]
