"""A power law, y = factor·x^exponent: a straight line in logarithms."""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solution
from raydistill.laws.points import FloatArray


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    return z_RK[:, :1] + z_RK[:, 1:] * np.log(inputs["x"])


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    return linear_solution([np.ones_like(outputs), np.log(inputs["x"])], outputs)


def _named(z_RK: Any, units: Units) -> Any:
    level, exponent = z_RK.T
    factor = units["output"] * np.exp(level - exponent * np.log(units["x"]))
    return np.stack([factor, exponent], axis=-1)


form = Form(
    version=1,
    inputs=("x",),
    parameters=("factor", "exponent"),
    coefficients=2,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    log=True,
    least_sizes=2,
    positive=frozenset({"factor"}),
)
