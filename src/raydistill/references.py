"""A base of another size or age that stands in the table, evaluated only (METHOD 7)."""

from dataclasses import replace

from raydistill.locations import NONE
from raydistill.scales import Scale
from raydistill.spec import Age
from raydistill.sweep import REFERENCE, Cell, reading_alike, settle
from raydistill.units import format_age, parse_tokens


def reference_cell(name: str, sweep: str, own: Scale) -> Cell:
    """The cell of a base of another size or age, measured as the bases of `own` are.

    Args:
        name: `SCALE@AGE`, or a scale alone: then its oldest base. Of a brought model, a revision.
        sweep: that the cell stands in.
        own: the scale that is swept.

    Raises:
        UsageError: if there is no such base, or it reads its text with another tokenizer.
    """
    scale, age = _named(name, own)
    scale.age_tokens(age)  # refuses an age that the scale does not have
    asked = scale.trial(age=age, location=NONE, count=0, share=0)
    values = {REFERENCE: f"{scale.name}@{format_age(age)}"}
    request = settle(asked, scale, count_given=False)
    return Cell(sweep=sweep, scale=scale, values=values, request=request)


def _named(name: str, own: Scale) -> tuple[Scale, Age]:
    """The scale and the age that a reference names; of a brought model, one of its revisions."""
    if own.brought:
        return own, name
    of_scale, _, age = name.partition("@")
    scale = reading_alike(of_scale, own, f"reference {name!r}")
    return replace(scale, evaluation=own.evaluation), parse_tokens(age) if age else scale.ages[-1]
