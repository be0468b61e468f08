"""A straight line, y = slope·x + intercept, as T* = a·S + b of the law of capacity gap.

Source: "Towards the law of capacity gap" (2311.07052), T* ≈ 2.498·S − 11.498 in millions.
"""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solution
from raydistill.laws.points import FloatArray


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    return z_RK[:, :1] * inputs["x"] + z_RK[:, 1:]


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    return linear_solution([inputs["x"], np.ones_like(outputs)], outputs)


def _named(z_RK: Any, units: Units) -> Any:
    return z_RK * np.array([units["output"] / units["x"], units["output"]])


form = Form(
    version=1,
    inputs=("x",),
    parameters=("slope", "intercept"),
    coefficients=2,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    least_sizes=2,
)
