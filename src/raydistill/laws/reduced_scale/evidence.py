"""Which form a front has, by evidence, and where its break is (METHOD 9).

A power law is compared with a jump, a knot and a smooth break by AICc and BIC. Whether there is a
break at all is told by the test that knows that its place was searched for (`laws/breaks.py`), for
a jump and for a knot with Holm; the place is told as an interval between two observed values, and
never outside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raydistill.laws.breaks import break_p_value
from raydistill.laws.fit import Fit
from raydistill.laws.fitting import fit
from raydistill.laws.form import load_form
from raydistill.laws.points import Points

POWER, JUMP, KNOTS, SMOOTH = "power", "jump", "knots", "smooth-break"
FORMS = (POWER, JUMP, KNOTS, SMOOTH)
PLACES = {JUMP: "break", KNOTS: "knot_1"}  # the parameter that is the place of the break
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """A break that was found: by which form, and between which two observed values of x."""

    form: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The forms of one front.

    Attributes:
        forms: that were asked for.
        fits: by form, in that order; those with points enough for AICc.
        looks_broken: by form with a place, how often one power law would look at least as broken.
        place: of the break; None where these points do not tell of one.
    """

    forms: tuple[str, ...]
    fits: Mapping[str, Fit]
    looks_broken: Mapping[str, float]
    place: Break | None

    @property
    def best(self) -> Fit | None:
        """That with the lowest BIC."""
        return min(self.fits.values(), key=lambda one: one.bic, default=None)

    @property
    def can_tell(self) -> bool:
        """Whether there are points enough to look for a break."""
        return bool(self.looks_broken)


def evidence(points: Points, forms: tuple[str, ...] = FORMS) -> Evidence:
    """The forms of n points of loss over different FLOPs `x`, compared."""
    fits = {form: fit(form, points) for form in forms if len(points) >= points_needed(form)}
    looks_broken = {form: break_p_value(points, form) for form in PLACES if form in fits}
    return Evidence(
        forms=forms, fits=fits, looks_broken=looks_broken, place=_break(fits, looks_broken)
    )


def points_needed(form: str) -> int:
    """How many points the criteria need to compare a form: two more than what it counts.

    >>> [points_needed(form) for form in FORMS]
    [5, 8, 7, 9]
    """
    return load_form(form).coefficients + 3


def _break(fits: Mapping[str, Fit], looks_broken: Mapping[str, float]) -> Break | None:
    """By the better of the forms that are told from one power law (Holm)."""
    broken: list[str] = []
    for rank, form in enumerate(sorted(looks_broken, key=looks_broken.__getitem__)):
        if looks_broken[form] > LEVEL / (len(looks_broken) - rank):
            break
        broken.append(form)
    if not broken:
        return None
    form = min(broken, key=lambda name: fits[name].bic)
    searched = fits[form].parameters[PLACES[form]]
    observed = np.unique(np.array(fits[form].table.inputs["x"]))
    below = observed[observed <= searched.low * (1 + 1e-9)]
    above = observed[observed >= searched.high * (1 - 1e-9)]
    return Break(
        form=form,
        low=float(below[-1] if len(below) else observed[0]),
        high=float(above[0] if len(above) else observed[-1]),
    )
