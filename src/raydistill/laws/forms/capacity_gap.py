"""The law of capacity gap, T* = slope·S + intercept: the best teacher of a student, in parameters.

Source: "Towards the law of capacity gap" (2311.07052), as the form `line`, with names that say what
it is about: `raydistill law capacity-gap` answers from it. How far a minimum is from the line is in
proportion to its size, as it is read off a curve over log size.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units
from raydistill.laws.forms import line
from raydistill.laws.points import FloatArray

INPUT = "student_params"
_LEAST = 1e-9  # of the middle teacher: a line below has no logarithm


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    teacher = line.form.evaluate(z_RK, {"x": inputs[INPUT]})
    return np.log(np.where(teacher.real > _LEAST, teacher, _LEAST))


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    return line.form.starts({"x": inputs[INPUT]}, np.exp(outputs))


def _named(z_RK: Any, units: Units) -> Any:
    return line.form.named(z_RK, {**units, "x": units[INPUT]})


form: Form = replace(
    line.form, inputs=(INPUT,), output="teacher_params", log=True,
    evaluate=_evaluate, starts=_starts, named=_named,
)  # fmt: skip
