"""A scale where an axis or a flag names it (`size`, `teacher`), by one name alone."""

from raydistill.specs.scale import is_scale, load_scale


def canonical(text: str) -> str:
    """`SCALE` or `SCALE@AGE` by the scale's canonical name; anything else as is.

    Raises:
        UsageError: if there is no such setting, or no such model.

    >>> canonical("laptop+width=48+layers=4@80B"), canonical("laptop-small"), canonical("own")
    ('laptop+layers=4+width=48@80B', 'laptop_small', 'own')
    """
    name, at, age = text.partition("@")
    return f"{load_scale(name).name}{at}{age}" if is_scale(name) else text
