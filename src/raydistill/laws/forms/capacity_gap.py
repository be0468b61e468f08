"""The law of capacity gap, T* = slope·S + intercept: the best teacher of a student, in parameters.

Source: "Towards the law of capacity gap" (2311.07052), as the form `line`, with names that say what
it is about: `raydistill law capacity-gap` answers from it.
"""

from dataclasses import replace
from typing import Any

from raydistill.laws.form import Form, Inputs, Units
from raydistill.laws.forms import line
from raydistill.laws.points import FloatArray

INPUT = "student_params"


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    return line.form.evaluate(z_RK, {"x": inputs[INPUT]})


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    return line.form.starts({"x": inputs[INPUT]}, outputs)


def _named(z_RK: Any, units: Units) -> Any:
    return line.form.named(z_RK, {**units, "x": units[INPUT]})


form: Form = replace(
    line.form, inputs=(INPUT,), output="teacher_params",
    evaluate=_evaluate, starts=_starts, named=_named,
)  # fmt: skip
