"""The minimum of a curve over size, by a parabola in log size within a window around it.

A parabola is biased by its own window: on a noise-free Chinchilla surface the optimum is off by
−0.33, −1.30, −2.90 and −5.10 % for points within ±2, 4, 8 and 16 times. So the window is told.
"""

import numpy as np

from raydistill.laws.fit import Fit
from raydistill.laws.fitting import Objective, fit
from raydistill.laws.points import Points

WINDOW = 4.0
_TURNS = 20


def fit_minimum(
    points: Points, factor: float = WINDOW, *, objective: Objective = "least-squares"
) -> Fit:
    """The form `minimum` fitted to the points within `factor` times of its own optimum.

    The window is laid around the lowest mean, then around the optimum, until its points stay the
    same. Those outside are the fit's exclusions.

    Args:
        points: with the input `x`.
        factor: of the window, to both sides.
        objective: as in `fitting.fit`.

    Raises:
        UsageError: if the window holds too few points: what to add.
    """
    x = points.inputs["x"]
    means = {size: float(points.outputs[x == size].mean()) for size in np.unique(x).tolist()}
    centre = min(means, key=lambda size: (means[size], size))
    result = fit("minimum", points.within("x", centre, factor), objective=objective)
    for _ in range(_TURNS):
        optimum = result.parameters["optimum"].value
        if not (result.parameters["curvature"].value > 0 and x.min() <= optimum <= x.max()):
            break  # nothing to lay a window around
        window = points.within("x", optimum, factor)
        if window.names == result.table.names:
            break
        result = fit("minimum", window, objective=objective)
    return result
