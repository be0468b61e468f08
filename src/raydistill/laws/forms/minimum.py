"""A minimum: a parabola in log x, y = lowest + curvature·ln(x / optimum)².

Approach 2 of Hoffmann et al. (2203.15556). It is local: on a surface that is no parabola its
optimum is biased by the window of the points (`laws/minima.py`). Where the curvature's interval
holds 0 there may be no minimum, and the optimum's interval has no ends.
"""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solution
from raydistill.laws.points import FloatArray


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    log_x = np.log(inputs["x"])
    return z_RK[:, :1] + z_RK[:, 1:2] * log_x + z_RK[:, 2:] * log_x**2


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    log_x = np.log(inputs["x"])
    return linear_solution([np.ones_like(log_x), log_x, log_x**2], outputs)


def _named(z_RK: Any, units: Units) -> Any:
    level, slope, curvature = z_RK.T
    optimum = units["x"] * np.exp(-slope / (2 * curvature))
    lowest = level - slope**2 / (4 * curvature)
    return np.stack([optimum, units["output"] * lowest, units["output"] * curvature], axis=-1)


form = Form(
    version=1,
    inputs=("x",),
    parameters=("optimum", "lowest", "curvature"),
    coefficients=3,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    least_sizes=3,
    positive=frozenset({"optimum"}),
    quotients=frozenset({"optimum", "lowest"}),
)
