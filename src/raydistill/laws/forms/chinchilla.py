"""Chinchilla's surface, loss = E + A/params^alpha + B/tokens^beta (Hoffmann et al. 2022, eq. 2).

Count `params` the same way everywhere, all or without embeddings. Starts are a grid of exponents
with E, A and B solved for (variable projection: given the exponents they are linear).
"""

from typing import Any

import numpy as np

from raydistill.laws.form import Form, Inputs, Units, linear_solutions
from raydistill.laws.points import FloatArray

_EXPONENTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.5)
_LEAST = 1e-3  # of a coefficient in a start, where the linear solution is not positive


def _terms(z_RK: Any, inputs: Inputs) -> Any:
    log_n, log_d = np.log(inputs["params"]), np.log(inputs["tokens"])
    flat = np.exp(z_RK[:, :1]) * np.ones_like(log_n)
    capacity = np.exp(z_RK[:, 1:2] - z_RK[:, 3:4] * log_n)
    data = np.exp(z_RK[:, 2:3] - z_RK[:, 4:5] * log_d)
    return flat, capacity, data


def _evaluate(z_RK: Any, inputs: Inputs) -> Any:
    flat, capacity, data = _terms(z_RK, inputs)
    return np.log(flat + capacity + data)


def _jacobian(z_RK: FloatArray, inputs: Inputs) -> FloatArray:
    terms_3Rn = np.stack(_terms(z_RK, inputs))
    share_3Rn = terms_3Rn / terms_3Rn.sum(axis=0)
    to_exponents = -np.stack([np.log(inputs["params"]), np.log(inputs["tokens"])])[:, None]
    return np.moveaxis(np.concatenate([share_3Rn, share_3Rn[1:] * to_exponents]), 0, -1)


def _starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
    exponent_R2 = np.array([(a, b) for a in _EXPONENTS for b in _EXPONENTS])
    capacity_Rn = inputs["params"] ** -exponent_R2[:, :1]
    data_Rn = inputs["tokens"] ** -exponent_R2[:, 1:]
    basis_Rn3 = np.stack([np.ones_like(data_Rn), capacity_Rn, data_Rn], axis=-1)
    relative_Rn3 = basis_Rn3 / np.exp(outputs)[:, None]
    solution_R3 = linear_solutions(relative_Rn3, np.ones_like(outputs))
    log_R3 = np.log(np.maximum(solution_R3, _LEAST))
    return np.concatenate([log_R3, exponent_R2], axis=1)


def _named(z_RK: Any, units: Units) -> Any:
    E, A, B, alpha, beta = z_RK.T
    return np.stack(
        [
            units["output"] * np.exp(E),
            units["output"] * np.exp(A + alpha * np.log(units["params"])),
            units["output"] * np.exp(B + beta * np.log(units["tokens"])),
            alpha,
            beta,
        ],
        axis=-1,
    )


form = Form(
    version=1,
    inputs=("params", "tokens"),
    parameters=("E", "A", "B", "alpha", "beta"),
    output="loss",
    coefficients=5,
    evaluate=_evaluate,
    starts=_starts,
    named=_named,
    log=True,
    least_sizes=3,
    positive=frozenset({"E", "A", "B"}),
    jacobian=_jacobian,
)
