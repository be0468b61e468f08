"""Power laws that meet: a line in logarithms with knots, `knots` or `knots+count=2`, up to 3.

AICc and BIC count a knot as two parameters, its place and its bend. Whether there is a knot at all
is a test of its own, which knows that the place was searched for: `laws/breaks.py`. Knots are
looked for on a grid between the second and the last but one value of x, and again around the best
places; a knot's interval is as fine as that grid.
"""

import itertools
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.form import Form, Inputs, Units, linear_solutions
from raydistill.laws.points import FloatArray

_GRID = {1: 400, 2: 80, 3: 30}  # places, so that there are 400, 3,160 and 4,060 choices
_FINER = 4  # times the grid is halved around the best places


def _evaluate(count: int, z_RK: Any, inputs: Inputs) -> Any:
    log_x = np.log(inputs["x"])
    places = z_RK[:, count + 2 :, None]
    bends = np.where(log_x > np.real(places), log_x - places, 0.0)
    line = z_RK[:, :1] + z_RK[:, 1:2] * log_x
    return line + (z_RK[:, 2 : count + 2, None] * bends).sum(axis=1)


def _grid(count: int, inputs: Inputs) -> FloatArray:
    values = np.unique(np.log(inputs["x"]))
    return np.linspace(values[1], values[-2], _GRID[count])


def _solved(place_RB: FloatArray, log_x: FloatArray, outputs: FloatArray) -> FloatArray:
    bends_RnB = np.maximum(log_x[None, :, None] - place_RB[:, None, :], 0.0)
    line_Rn2 = np.broadcast_to(
        np.stack([np.ones_like(log_x), log_x], axis=-1), (len(place_RB), len(log_x), 2)
    )
    solution_RL = linear_solutions(np.concatenate([line_Rn2, bends_RnB], axis=-1), outputs)
    return np.concatenate([solution_RL, place_RB], axis=1)


def _starts(count: int, inputs: Inputs, outputs: FloatArray) -> FloatArray:
    log_x, grid = np.log(inputs["x"]), _grid(count, inputs)
    z_RK = _solved(np.array(list(itertools.combinations(grid, count))), log_x, outputs)
    step = grid[1] - grid[0]
    for _ in range(_FINER):
        step /= 2
        off_Rn = _evaluate(count, z_RK, inputs) - outputs
        best_B = z_RK[np.argmin((off_Rn**2).sum(axis=1)), count + 2 :]
        near = np.array(list(itertools.product((-step, 0.0, step), repeat=count)))
        place_RB = np.sort(np.clip(best_B + near, grid[0], grid[-1]), axis=1)
        z_RK = np.concatenate([z_RK, _solved(place_RB, log_x, outputs)])
    return z_RK


def _cells(count: int, z_RK: FloatArray, inputs: Inputs) -> tuple[FloatArray, FloatArray]:
    grid = _grid(count, inputs)
    half = (grid[1] - grid[0]) / 2
    return z_RK[:, count + 2 :] - half, z_RK[:, count + 2 :] + half


def _named(count: int, z_RK: Any, units: Units) -> Any:
    level, bends, places = z_RK[:, 0], z_RK[:, 1 : count + 2], z_RK[:, count + 2 :]
    exponents = np.cumsum(bends, axis=1)
    factor = units["output"] * np.exp(level - exponents[:, 0] * np.log(units["x"]))
    return np.concatenate([factor[:, None], exponents, units["x"] * np.exp(places)], axis=1)


def _numbered(name: str, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for number in numbers)


def form(*, count: int = 1) -> Form:
    """The form with `count` knots: `factor`, the exponents from left to right, and the knots.

    Raises:
        UsageError: if `count` is not 1, 2 or 3.
    """
    if count not in _GRID:
        raise UsageError(f"form 'knots+count={count}': count is 1, 2 or 3")
    knots = _numbered("knot", range(1, count + 1))
    return Form(
        version=1,
        inputs=("x",),
        parameters=("factor", *_numbered("exponent", range(1, count + 2)), *knots),
        coefficients=2 + 2 * count,
        evaluate=partial(_evaluate, count),
        starts=partial(_starts, count),
        named=partial(_named, count),
        log=True,
        least_sizes=3 + count,
        positive=frozenset({"factor", *knots}),
        places=count,
        cells=partial(_cells, count),
    )
