"""A form of a law: what a file of `laws/forms/` defines, and how it is found.

A form is written in coefficients z that suit the search, of inputs and outputs in units of their
own middle, so that no fit depends on the units of a table; `named` turns them into the parameters
that are told. Shapes: R fits at once, n points, K coefficients, P parameters.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from raydistill.core.errors import OwnCodeError, UsageError, unknown
from raydistill.core.parts import FORM, load_part
from raydistill.laws.points import FloatArray

Inputs = Mapping[str, FloatArray]
Units = Mapping[str, float]  # of each input, and "output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One form of a law.

    Attributes:
        version: raised when the form computes something else.
        inputs: their names; the first one is the size that is left out in turn.
        parameters: their names, as told.
        coefficients: K, how many numbers are searched for.
        evaluate: z (R, K) and inputs (n,) to outputs (R, n), of logarithms where `log`. It is
            also called with complex z, for derivatives, unless there is a `jacobian`.
        starts: inputs and outputs (n,), in their units, to the (S, K) coefficients that a search
            begins from. Outputs are logarithms where `log`.
        named: z (R, K) and the units to parameters (R, P); also called with complex z.
        log: whether noise is in proportion: residuals are of logarithms, so outputs are positive.
        least_sizes: of how many different values of the first input a fit must have points.
        least_points: how many points a fit must have; more than the coefficients in any case.
        positive: the parameters whose profile is walked in logarithms.
        quotients: those whose denominator may be 0: they have both ends of an interval, or none.
        jacobian: z (R, K) and inputs to derivatives (R, n, K) of `evaluate`.
        bounds_2K: the least and the largest value of each coefficient, (2, K). Where all of them
            have both, searches and intervals keep to that box; else `evaluate` does not change
            beyond them, and a fit that ended further out is told from there.
        latent: z (R, K) and inputs to what `evaluate` is an increasing function of at each place,
            (R, n), where that has an end that the law never passes: intervals of predictions are
            found in it. Also called with complex z.
        from_latent: that and the inputs to what `evaluate` gives.
        like_output: the inputs that are measured as the output is, in one unit with it.
        output: its name, in tables.
        places: how many of the last coefficients are places (of a knot, of a jump), which only the
            starts vary: between them, the rest is linear.
        cells: with places, z (R, K) and inputs to how far each place can be moved to both sides
            without another start being nearer, two arrays (R, places).
        discrete: whether the law is the same wherever a place is between two observed values, so
            that its interval is a set of such gaps.
    """

    version: int
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    coefficients: int
    evaluate: Callable[[Any, Inputs], Any]
    starts: Callable[[Inputs, FloatArray], FloatArray]
    named: Callable[[Any, Units], Any]
    log: bool = False
    least_sizes: int = 0
    least_points: int = 0
    positive: frozenset[str] = frozenset()
    quotients: frozenset[str] = frozenset()
    jacobian: Callable[[FloatArray, Inputs], FloatArray] | None = None
    bounds_2K: FloatArray | None = None
    latent: Callable[[Any, Inputs], Any] | None = None
    from_latent: Callable[[FloatArray, Inputs], FloatArray] | None = None
    like_output: frozenset[str] = frozenset()
    output: str = "y"
    places: int = 0
    cells: Callable[[FloatArray, Inputs], tuple[FloatArray, FloatArray]] | None = None
    discrete: bool = False

    @property
    def is_boxed(self) -> bool:
        """Whether every coefficient has both bounds, which searches then keep to."""
        return self.bounds_2K is not None and bool(np.isfinite(self.bounds_2K).all())


def load_form(name: str) -> Form:
    """The form of that name, `line`, or with settings, `knots+count=2`.

    Raises:
        UsageError: if there is no such form, or it has no such setting.
    """
    file, *words = re.split(r"\+(?!\d)", name)
    form = load_part(FORM, file, "form")
    if isinstance(form, Form):
        if words:
            raise UsageError(f"form {name!r}: {file} has no settings")
        return form
    if not callable(form):
        raise OwnCodeError(f"form {file!r}: its file must say form = Form(...), not {form!r}")
    settings: dict[str, int] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value.isdigit():
            raise UsageError(f"form {name!r}: write {file}+setting=NUMBER, not {word!r}")
        settings[key] = int(value)
    make = cast(Callable[..., Form], form)
    known = make.__kwdefaults__ or {}
    for key in settings:
        if key not in known:
            raise UsageError(f"form {name!r}: {unknown('setting', key, known)}")
    return make(**settings)


def linear_solution(basis: Sequence[FloatArray], outputs: FloatArray) -> FloatArray:
    """The coefficients (1, K) of the least squares of `outputs` (n,) on columns (n,)."""
    return linear_solutions(np.stack(basis, axis=1)[None], outputs)


def linear_solutions(basis_RnL: FloatArray, outputs: FloatArray) -> FloatArray:
    """The coefficients (R, L) of the least squares of `outputs` (n,) on R bases (n, L)."""
    solution_RL1: FloatArray = np.linalg.pinv(basis_RnL) @ outputs[None, :, None]
    return solution_RL1[:, :, 0]
