"""A base of another size or age that stands in the table, evaluated only (METHOD 7)."""

from dataclasses import replace

from raydistill.locations import NONE
from raydistill.scales import Scale
from raydistill.sweep import REFERENCE, Cell, reading_alike, settle
from raydistill.units import format_tokens, parse_tokens


def reference_cell(name: str, sweep: str, own: Scale) -> Cell:
    """The cell of a base of another size or age, measured as the bases of `own` are.

    Args:
        name: `SCALE@AGE`, or a scale alone: then its oldest base.
        sweep: that the cell stands in.
        own: the scale that is swept.

    Raises:
        UsageError: if there is no such base, or it reads its text with another tokenizer.
    """
    of_scale, _, age = name.partition("@")
    scale = reading_alike(of_scale, own, f"reference {name!r}")
    scale = replace(scale, evaluation=own.evaluation)
    asked = scale.trial(
        age=parse_tokens(age) if age else max(scale.ages), location=NONE, count=0, share=0
    )
    scale.age_tokens(asked.age)  # refuses an age that the scale does not have
    values = {REFERENCE: f"{scale.name}@{format_tokens(asked.age)}"}
    request = settle(asked, scale, count_given=False)
    return Cell(sweep=sweep, scale=scale, values=values, request=request)
