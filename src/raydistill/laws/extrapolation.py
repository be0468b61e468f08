"""How far a law may be used beyond its points, and what is said then.

Up to 3 times outside the range of the points a prediction comes with a notice. Up to 30 times its
intervals are widened by every other form that these points do not speak against: those within 10
in BIC, which is strong evidence (Kass and Raftery 1995), with points enough for AICc (two more than
what it counts). Further than that only who asks for it gets a number.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from raydistill.core.errors import OwnCodeError, UsageError
from raydistill.core.parts import FORM, part_names
from raydistill.core.units import format_amount
from raydistill.laws.fit import Fit, Prediction
from raydistill.laws.fitting import fit as fitted
from raydistill.laws.form import load_form

Value = TypeVar("Value")

NEAR = 3.0
FAR = 30.0
BIC_MARGIN = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Extrapolation:
    """A prediction, with what is to be said of it.

    Attributes:
        prediction: of the law; beyond `NEAR` with the intervals of all `forms`.
        notice: one sentence; empty within the range of the points.
        forms: that the intervals are of.
    """

    prediction: Prediction
    notice: str
    forms: tuple[str, ...]


def alternative_fits(fit: Fit) -> tuple[Fit, ...]:
    """The same points by every other form of the same inputs that has points enough.

    Of one input any form of one input is, whatever they call it.

    Raises:
        OwnCodeError: if the file of a form of one's own has a mistake.
    """
    others = []
    for name in part_names(FORM):
        inputs = load_form(name).inputs
        if name == fit.form.partition("+")[0] or len(inputs) != len(fit.box):
            continue
        if len(inputs) > 1 and set(inputs) != set(fit.box):
            continue
        columns = _renamed(fit.points.inputs, inputs)
        try:
            other = fitted(name, replace(fit.points, inputs=columns))
        except OwnCodeError:
            raise
        except UsageError:  # too few points for it
            continue
        same = other.df == fit.df and math.isclose(other.bic, fit.bic)
        others += [] if same else [other]  # a form may have two names
    return tuple(others)


def _renamed(inputs: Mapping[str, Value], names: Collection[str]) -> Mapping[str, Value]:
    """Inputs as a form calls them; one by whatever name."""
    return dict(zip(names, inputs.values(), strict=True)) if len(names) == 1 else inputs


def predict(
    fit: Fit,
    inputs: Mapping[str, float],
    *,
    alternatives: Sequence[Fit] | None = None,
    far: bool = False,
) -> Extrapolation:
    """A prediction under the rule above.

    Args:
        fit: the law.
        inputs: the place.
        alternatives: other fits of the same points; by default `alternative_fits`, where needed.
        far: whether more than 30 times outside the range is asked for.

    Raises:
        UsageError: if an input is missing or not positive, or the place is too far without `far`.
    """
    notice = check_reach(fit, inputs, far=far)
    own = fit.predict(inputs)
    if own.factor_beyond <= NEAR:
        return Extrapolation(prediction=own, notice=notice, forms=(fit.form,))
    others = alternative_fits(fit) if alternatives is None else alternatives
    near = [
        other
        for other in others
        if other.bic <= fit.bic + BIC_MARGIN
        and math.isfinite(other.aicc)
        and other.form != fit.form
    ]
    every = [own, *(other.predict(_renamed(inputs, other.box)) for other in near)]
    least = 0.0 if load_form(fit.form).log else -math.inf  # another form may not know that
    prediction = replace(
        own,
        interval=_hull([one.interval for one in every], least),
        interval_with_noise=_hull([one.interval_with_noise for one in every], least),
    )
    forms = (fit.form, *(other.form for other in near))
    names = ", ".join(forms[1:]) or "no other form"
    if near or math.isfinite(fit.aicc):
        notice += f": the interval is also that of forms within {BIC_MARGIN:g} in BIC ({names})"
    else:
        notice += (
            ": these points are too few to compare forms, so the interval is of this one alone"
        )
    return Extrapolation(prediction=prediction, notice=notice, forms=forms)


def check_reach(fit: Fit, inputs: Mapping[str, float], *, far: bool) -> str:
    """How far a place is beyond the points, in words; empty within them.

    Raises:
        UsageError: if an input is missing, or the place is too far without `far`.
    """
    beyond = fit.factor_beyond(inputs)
    if beyond <= 1:
        return ""
    notice = f"{beyond:.3g}× beyond the points ({_covered(fit)})"
    if beyond > FAR and not far:
        raise UsageError(
            f"{notice}: a law is used up to {FAR:g}×. Add points nearer to it, or ask with --far"
        )
    return notice


def _covered(fit: Fit) -> str:
    ends = {name: [format_amount(end) for end in box] for name, box in fit.box.items()}
    return ", ".join(f"{name} {low} to {high}" for name, (low, high) in ends.items())


def _hull(intervals: Sequence[tuple[float, float]], least: float) -> tuple[float, float]:
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    return max(low, least), high
