"""Two power laws and a jump between them, at a place that lies between two observed values.

The break is told as an interval between observed values. Each side has 2 different values of x at
least. Its interval is the set of gaps between them that an exact test does not reject at 5 %
(`laws/search/places.py`), from the first of them to the last. AICc and BIC count two exponents, two
factors and the place. Whether there is a jump at all is a test of its own, which knows that the
place was searched for: `laws/breaks.py`.
"""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solutions
from raydistill.laws.points import FloatArray

_SIDE = 2  # different values of x on each side


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    log_x = np.log(inputs["x"])
    below = z_RK[:, :1] + z_RK[:, 1:2] * log_x
    above = z_RK[:, 2:3] + z_RK[:, 3:4] * log_x
    return np.where(log_x < np.real(z_RK[:, 4:]), below, above)


def _edges(inputs: Inputs) -> FloatArray:
    return np.unique(np.log(inputs["x"]))


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    log_x, edges = np.log(inputs["x"]), _edges(inputs)
    place_R = (edges[1:] + edges[:-1])[_SIDE - 1 : len(edges) - _SIDE] / 2
    below_Rn1 = (log_x < place_R[:, None])[:, :, None]
    basis_n2 = np.stack([np.ones_like(log_x), log_x], axis=-1)
    basis_RnL = np.concatenate([below_Rn1 * basis_n2, ~below_Rn1 * basis_n2], axis=-1)
    return np.concatenate([linear_solutions(basis_RnL, outputs), place_R[:, None]], axis=1)


def _cells(z_RK: FloatArray, inputs: Inputs) -> tuple[FloatArray, FloatArray]:
    edges = _edges(inputs)
    above_R = np.searchsorted(edges, z_RK[:, 4])
    return edges[above_R - 1][:, None], edges[above_R][:, None]


def _named(z_RK: Any, units: Units) -> Any:
    level_RS, exponent_RS, place_R = z_RK[:, :4:2], z_RK[:, 1:4:2], z_RK[:, 4]
    factor_RS = units["output"] * np.exp(level_RS - exponent_RS * np.log(units["x"]))
    columns = [factor_RS[:, 0], exponent_RS[:, 0], factor_RS[:, 1], exponent_RS[:, 1]]
    return np.stack([*columns, units["x"] * np.exp(place_R)], axis=-1)


form = Form(
    version=1,
    inputs=("x",),
    parameters=("factor_below", "exponent_below", "factor_above", "exponent_above", "break"),
    coefficients=5,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    log=True,
    least_sizes=2 * _SIDE,
    positive=frozenset({"factor_below", "factor_above", "break"}),
    places=1,
    cells=_cells,
    discrete=True,
)
