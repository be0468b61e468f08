"""Points as a form sees them: in units of their own middle, in one order, whatever a table's was.

Shapes: R fits, n points, K coefficients, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.form import Form, Inputs, Units, load_form
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.search.solver import Rows, Searches, complex_derivatives, minimise

_NOWHERE = 1e3  # a residual where the form is no number
_PATIENCE = 3_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Problem:
    """A form and the points it is fitted to, in their units."""

    form: Form
    inputs: Inputs
    outputs: FloatArray  # (n,), logarithms where the form's noise is in proportion
    units: Units
    order: Rows  # of the points as they were given

    def minimise(
        self,
        start_RK: FloatArray,
        *,
        outputs_Rn: FloatArray | None = None,
        weights_Rn: FloatArray | None = None,
        huber: float = 0.0,
    ) -> Searches:
        """A search from each start.

        Args:
            start_RK: where each search begins.
            outputs_Rn: of each fit, instead of those measured.
            weights_Rn: how often each point counts in each fit, instead of once.
            huber: as in `solver.minimise`.
        """

        def residuals(z_RK: FloatArray, rows: Rows) -> FloatArray:
            outputs = self.outputs if outputs_Rn is None else outputs_Rn[rows]
            return cast(FloatArray, self.form.evaluate(z_RK, self.inputs) - outputs)

        def derivatives(z_RK: FloatArray, rows: Rows) -> FloatArray:
            del rows
            return self.derivatives(z_RK)

        bounds_2K = self.form.bounds_2K if self.form.is_boxed else None
        return minimise(
            residuals, derivatives, start_RK,
            weights_Rn=weights_Rn, huber=huber, bounds_2K=bounds_2K,
        )  # fmt: skip

    def minimise_alone(self, start_K: FloatArray) -> tuple[FloatArray, float]:
        """One search by MINPACK, which goes on in a narrow valley for thousands of steps."""

        def residuals(z_K: FloatArray) -> FloatArray:
            off_n = self.form.evaluate(z_K[None], self.inputs)[0] - self.outputs
            return cast(FloatArray, np.nan_to_num(off_n, nan=_NOWHERE, posinf=_NOWHERE))

        def derivatives(z_K: FloatArray) -> FloatArray:
            return cast(FloatArray, np.nan_to_num(self.derivatives(z_K[None])[0]))

        from scipy.optimize import least_squares  # noqa: PLC0415  (few fits need it)

        with np.errstate(all="ignore"):
            result = least_squares(
                residuals,
                start_K,
                jac=derivatives,
                method="lm",
                x_scale="jac",
                max_nfev=_PATIENCE,
                **dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15),
            )
        return result.x, 2 * float(result.cost)

    def derivatives(self, z_RK: FloatArray, inputs: Inputs | None = None) -> FloatArray:
        """Those of the form, (R, n, K)."""
        at = self.inputs if inputs is None else inputs
        if self.form.jacobian is not None:
            return self.form.jacobian(z_RK, at)
        slope_RnK = complex_derivatives(lambda z: self.form.evaluate(z, at), z_RK)
        if self.form.places:
            slope_RnK[..., -self.form.places :] = 0.0
        return slope_RnK

    def in_own_units(self, inputs: Mapping[str, Any]) -> Inputs:
        """Inputs in the units of the points.

        Raises:
            UsageError: if one is missing, or has no meaning for the form.
        """
        for name in self.form.inputs:
            if name not in inputs:
                raise UsageError(f"the law needs {', '.join(self.form.inputs)}: give {name} too")
        at = {name: np.atleast_1d(inputs[name]) / self.units[name] for name in self.form.inputs}
        for name, values in at.items():
            if not (np.isfinite(values) & (values > 0)).all():
                raise UsageError(f"{name} must be above 0, not {np.min(inputs[name]):g}")
        return at

    def in_output_units(self, response: FloatArray) -> FloatArray:
        """Responses as outputs in the points' own unit."""
        plain: FloatArray = np.exp(response) if self.form.log else response
        return plain * self.units["output"]


def prepare(form_name: str, points: Points) -> Problem:
    """The problem of a form and points.

    Raises:
        UsageError: if there is no such form, or the points cannot be fitted: too few, too few
            sizes, an input that is missing or not positive.
    """
    form = load_form(form_name)
    for name in form.inputs:
        if name not in points.inputs:
            have = ", ".join(points.inputs) or "none"
            raise UsageError(f"form {form_name!r} needs the input {name!r}; there are {have}")
    positive = {name: points.inputs[name] for name in form.inputs}
    if form.log:
        positive["output"] = points.outputs
    for name, values in positive.items():
        if len(values) and not (values > 0).all():
            row = points.names[int(np.flatnonzero(~(values > 0))[0])]
            raise UsageError(f"{name} of {row} is not above 0, as form {form_name!r} needs")
    _check_enough(form_name, form, points)
    keys = (np.array(points.names), points.outputs, *(points.inputs[name] for name in form.inputs))
    order = np.lexsort(keys)
    units = {name: _middle(points.inputs[name]) for name in form.inputs}
    outputs = points.outputs[order]
    if form.log:
        units["output"] = _middle(outputs)
        response = np.log(outputs / units["output"])
    else:
        units["output"] = float(np.sqrt(np.mean(outputs**2))) or 1.0
        response = outputs / units["output"]
    units |= dict.fromkeys(form.like_output, units["output"])
    inputs = {name: points.inputs[name][order] / units[name] for name in form.inputs}
    return Problem(form=form, inputs=inputs, outputs=response, units=units, order=order)


def _check_enough(form_name: str, form: Form, points: Points) -> None:
    sizes = len(np.unique(points.inputs[form.inputs[0]]))
    least = max(form.coefficients + 1, form.least_points)
    lacks = []
    if len(points) < least:
        lacks.append(f"{least - len(points)} points more")
    if sizes < form.least_sizes:
        lacks.append(f"{form.least_sizes - sizes} other values of {form.inputs[0]}")
    if lacks:
        raise UsageError(
            f"form {form_name!r} needs {least} points at {form.least_sizes} values "
            f"of {form.inputs[0]} or more, these are {len(points)} at {sizes}: "
            f"add {' and '.join(lacks)}"
        )


def _middle(values: FloatArray) -> float:
    """The geometric mean, of sorted values: the same in any order."""
    return float(np.exp(np.mean(np.log(np.sort(values)))))
