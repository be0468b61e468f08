"""A smooth break, y = a + b·x^(−c0)·(1 + (x/break)^(1/sharpness))^(−c1·sharpness).

The broken neural scaling law with one break (Caballero et al. 2023, eq. 1); `sharpness` is their
f1, smaller is sharper, and 0.01 at least: that is a knot. Where few points lie beside the break its
sharpness is not determined, and where none lie beyond it, nothing after it is.
"""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solutions
from raydistill.laws.points import FloatArray

_BEFORE = (-0.2, 0.03, 0.15, 0.4, 1.0)  # c0
_CHANGES = (-0.5, 0.2, 0.7, 2.0, 6.0)  # c1
_SHARPNESS = (0.02, 0.05, 0.15, 0.4, 1.2)
_PLACES = 9  # of the break, from the first value of x to a little beyond the last
_SHARPEST = 0.01
_BEST = 60  # of the grid's starts are searched from


def _broken(z_RK: Any, log_x: FloatArray) -> Any:
    """The logarithm of the power that breaks, without b."""
    c0, c1, log_break, log_softness = (z_RK[:, k : k + 1] for k in range(2, 6))
    sharpness = _SHARPEST + np.exp(log_softness)
    t = (log_x - log_break) / sharpness
    above = np.real(t) > 0
    softplus = np.where(above, t, 0.0) + np.log1p(np.exp(np.where(above, -t, t)))
    return -c0 * log_x - c1 * sharpness * softplus


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    return np.log(z_RK[:, :1] + np.exp(z_RK[:, 1:2] + _broken(z_RK, np.log(inputs["x"]))))


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    log_x = np.log(inputs["x"])
    places = np.linspace(log_x.min(), log_x.max() + 0.7, _PLACES)
    grids = np.meshgrid(
        _BEFORE, _CHANGES, places, np.log(np.array(_SHARPNESS) - _SHARPEST), indexing="ij"
    )
    place_R4 = np.stack([grid.ravel() for grid in grids], axis=1)
    z_RK = np.concatenate([np.zeros((len(place_R4), 2)), place_R4], axis=1)
    power_Rn = np.exp(_broken(z_RK, log_x))
    basis_Rn2 = np.stack([np.ones_like(power_Rn), power_Rn], axis=-1) / np.exp(outputs)[:, None]
    solution_R2 = linear_solutions(basis_Rn2, np.ones_like(outputs))
    z_RK[:, 0] = np.maximum(solution_R2[:, 0], 0.0)
    z_RK[:, 1] = np.log(np.maximum(solution_R2[:, 1], 1e-3))
    cost_R = ((_evaluate(z_RK, inputs) - outputs) ** 2).sum(axis=1)
    return z_RK[np.argsort(cost_R, kind="stable")[:_BEST]]


def _named(z_RK: Any, units: Units) -> Any:
    a, b, c0, c1, log_break, log_softness = z_RK.T
    with np.errstate(over="ignore"):  # a break far beyond the points
        place = units["x"] * np.exp(log_break)
    return np.stack(
        [
            units["output"] * a,
            units["output"] * np.exp(b + c0 * np.log(units["x"])),
            c0,
            c1,
            place,
            _SHARPEST + np.exp(log_softness),
        ],
        axis=-1,
    )


form = Form(
    version=1,
    inputs=("x",),
    parameters=("a", "b", "c0", "c1", "break", "sharpness"),
    coefficients=6,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    log=True,
    least_sizes=6,
    positive=frozenset({"b", "break", "sharpness"}),
)
