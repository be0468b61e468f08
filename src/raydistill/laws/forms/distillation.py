"""A distilled student's loss by its teacher's, as a ladder: few runs do not pretend to be many.

    distillation+parameters=2    L_S = intercept + slope·L_T
    distillation                 L_S = L_T + G·L_T^(−c0)·2^(−(L_T/(L̃_S·turn))^(1/f1)), f1 = 0.1
    distillation+parameters=4    the same with f1 fitted
    distillation+parameters=9    L_S = L_T + L_T^(−c0)·(1 + (L_T/(L̃_S·d1))^(1/f1))^(−c1·f1)
                                       ·(A/N_S^α + B/D_S^β)^γ, d1 = turn/(2^(1/(c1·f1)) − 1)^f1

L̃_S is what the student reaches without a teacher at its tokens, and the turn is L_T/L̃_S where a
teacher that gets worse has halved the gap. The last is the law of Busbridge et al. (2025,
arXiv:2502.08606, equation 8) for a surface L̃_S that is known; it takes 40 runs at 3 budgets. The
two before it are its limit for large c1 at one student.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.form import Form, Inputs, Units, linear_solution
from raydistill.laws.points import FloatArray

LADDER = (2, 3, 4, 9)  # parameters
LEAST_RUNS, LEAST_BUDGETS = 40, 3  # of all nine
WIDTH = 0.1  # f1, where it is not fitted
WIDTHS = (0.01, 1.0)  # within which f1 is looked for
BLUNT = (1e-4, 1.0)  # likewise 1/(c1·f1)
EXPONENTS, CURVED = (1e-9, 2.0), (0.01, 20.0)  # likewise α·γ and β·γ, and 1/γ
LARGEST = 300.0  # logarithm: a gap of 2^(−e^300) is none
LN2 = float(np.log(2))
_FREE = (-np.inf, np.inf)
_BOUNDS_K2 = np.array([*[_FREE] * 3, np.log(WIDTHS)])
_BOX_K2 = np.array(
    [(-20, 20), (-100, 100), (-5, 5), np.log(WIDTHS), BLUNT, (-20, 20), *[EXPONENTS] * 2, CURVED]
)


def form(*, parameters: int = 3) -> Form:
    """The rung of the ladder with so many parameters.

    Raises:
        UsageError: if there is no such rung.
    """
    if parameters not in LADDER:
        raise UsageError(f"distillation+parameters={parameters}: there are 2, 3, 4 and 9")
    return {2: _line, 3: _gap, 4: _gap_with_width, 9: _whole}[parameters]()


def _line() -> Form:
    def evaluate(z_RK: Any, inputs: Inputs) -> Any:
        return np.log(z_RK[:, :1] + z_RK[:, 1:] * inputs["teacher_loss"])

    def starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
        teacher = inputs["teacher_loss"]
        return linear_solution([np.ones_like(teacher), teacher], np.exp(outputs))

    def named(z_RK: Any, units: Units) -> Any:
        return z_RK * np.array([units["output"], 1.0])

    return _form(("intercept", "slope"), evaluate, starts, named, ("teacher_loss",))


def _gap() -> Form:
    """Coefficients: ln G, c0, ln of the turn."""

    def named(z_RK: Any, units: Units) -> Any:
        size, c0, turn = _columns(z_RK)
        return np.concatenate([np.exp(size + _scale(c0, units)), c0, np.exp(turn)], axis=1)

    return _of_gap(("G", "c0", "turn"), _grid, named, positive=frozenset({"G", "turn"}))


def _gap_with_width() -> Form:
    """Coefficients: those of `_gap`, and f1 within its ends."""

    def starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
        return _grid(inputs, outputs, np.log([0.05, 0.2]))

    def named(z_RK: Any, units: Units) -> Any:
        return np.concatenate([_gap().named(z_RK[:, :3], units), np.exp(z_RK[:, 3:])], axis=1)

    names = ("G", "c0", "turn", "f1")
    return _of_gap(names, starts, named, positive=frozenset(names) - {"c0"})


def _whole() -> Form:
    """Coefficients: those of `_gap_with_width`, 1/(c1·f1), the size's share of G, α·γ, β·γ, 1/γ.

    At the ends of their box the law is as good as at its limits: a gap that ends at once, or by
    2^(−x); one that a student's size, or its tokens, have no part in; the greater of two powers, or
    their product. So a side of the box is no end of an interval of what is told.
    """

    def starts(inputs: Inputs, outputs: FloatArray) -> FloatArray:
        f1, w, exponents = np.log([0.05, 0.2]), [0.02, 0.1], [0.2]
        return _grid(inputs, outputs, f1, w, [0.0], exponents, exponents, [1.0])

    def named(z_RK: Any, units: Units) -> Any:
        size, c0, turn, f1, w, share, by_params, by_tokens, curved = _columns(z_RK)
        alpha, beta = by_params * curved, by_tokens * curved
        level = curved * (size + _scale(c0, units))
        a = _finite(level - _softplus(-share) + alpha * np.log(units["student_params"]))
        b = _finite(level - _softplus(share) + beta * np.log(units["student_tokens"]))
        every = (c0, np.exp(-f1) / w, np.exp(f1), np.exp(turn), a, b, alpha, beta, 1 / curved)
        return np.concatenate(every, axis=1)

    names = ("c0", "c1", "f1", "turn", "A", "B", "alpha", "beta", "gamma")
    inputs = ("student_tokens", "student_params", "teacher_loss", "student_alone")
    return _of_gap(
        names, starts, named, inputs,
        bounds_2K=_BOX_K2.T, version=2, positive=frozenset(names[1:]),
        least_sizes=LEAST_BUDGETS, least_points=LEAST_RUNS,
    )  # fmt: skip


def _ln_gap(z_RK: Any, inputs: Inputs) -> Any:
    """The logarithm of the gap, (R, n), by as many coefficients as a rung has."""
    size, c0, turn, *more = _columns(z_RK)
    f1 = _bounded(more[0], *WIDTHS) if more else WIDTH
    if len(more) < 2:
        return size + _weak(c0, turn, f1, None, inputs)
    of_params, of_tokens = _reach(more[2:], inputs)
    reach = size + (of_params + _softplus(of_tokens - of_params)) / more[5]
    return reach + _weak(c0, turn, f1, more[1], inputs)


def _slopes(z_RK: FloatArray, inputs: Inputs) -> FloatArray:
    """The derivatives (R, n, K) of `_ln_gap`."""
    _, _, turn, *more = _columns(z_RK)
    ln_teacher = np.log(inputs["teacher_loss"])
    f1 = _bounded(more[0], *WIDTHS) if more else WIDTH
    ratio = (ln_teacher - np.log(inputs["student_alone"]) - turn) / f1
    x = np.exp(np.minimum(ratio, LARGEST))
    by_ratio = LN2 * x
    by_width, by_reach = [], []
    if len(more) > 1:
        w = more[1]
        kx = np.expm1(w * LN2) * x
        by_ratio = kx / (1 + kx) / w
        steeper = LN2 * np.exp(w * LN2) * x / (1 + kx)
        by_width = [(np.log1p(kx) / w - steeper) / w]
        share, by_params, by_tokens, curved = more[2:]
        of_params, of_tokens = _reach(more[2:], inputs)
        tokens = 1 / (1 + np.exp(of_params - of_tokens))  # the tokens' share of the gap
        at_rest = 1 / (1 + np.exp(share))
        of_size = -(1 - tokens) * np.log(inputs["student_params"])
        of_budget = -tokens * np.log(inputs["student_tokens"])
        inner = of_params + _softplus(of_tokens - of_params)
        by_reach = [
            ((1 - tokens) * at_rest - tokens * (1 - at_rest)) / curved,
            of_size,
            of_budget,
            (by_params * of_size + by_tokens * of_budget - inner / curved) / curved,
        ]
    by_ratio = np.where(ratio < LARGEST, by_ratio, 0.0)
    sharper = [by_ratio * ratio * _inside(more[0], *WIDTHS)] if more else []
    one = np.ones_like(ratio)
    columns = [one, -ln_teacher * one, by_ratio / f1, *sharper, *by_width, *by_reach]
    return np.stack(columns, axis=-1)


def _reach(z: list[Any], inputs: Inputs) -> list[Any]:
    """Logarithms of A/N_S^α and of B/D_S^β, up to a factor that G holds."""
    share, by_params, by_tokens, curved = z
    of_params = -_softplus(-share) - by_params * curved * np.log(inputs["student_params"])
    of_tokens = -_softplus(share) - by_tokens * curved * np.log(inputs["student_tokens"])
    return [of_params, of_tokens]


def _finite(logarithm: Any) -> Any:
    """Its exponential, if that is a number, else the largest."""
    return np.exp(np.where(np.real(logarithm) > 700, 700, logarithm))


def _columns(z_RK: Any) -> list[Any]:
    """Each coefficient, (R, 1)."""
    return [z_RK[:, k : k + 1] for k in range(z_RK.shape[1])]


def _bounded(z: Any, low: float, high: float) -> Any:
    """Its exponential, held between two ends."""
    real = np.real(z)
    return np.exp(
        np.where(real < np.log(low), np.log(low), np.where(real > np.log(high), np.log(high), z))
    )


def _inside(z: FloatArray, low: float, high: float) -> Any:
    """Whether it moves anything."""
    return (z >= np.log(low)) & (z <= np.log(high))


def _student(ln_gap: Any, inputs: Inputs) -> Any:
    """The logarithm of L_S, of that of the gap."""
    return np.log(inputs["teacher_loss"] + np.exp(ln_gap))


def _weak(c0: Any, turn: Any, f1: Any, w: Any, inputs: Inputs) -> Any:
    """The logarithm of the gap over G, −c0·ln L_T − ln(1 + w·x)/w; the last is x if w is None.

    x = (L_T/(L̃_S·turn))^(1/f1)·(2^w − 1)/w and w = 1/(c1·f1): half the gap is left at the turn.
    """
    ln_teacher = np.log(inputs["teacher_loss"])
    ratio = (ln_teacher - np.log(inputs["student_alone"]) - turn) / f1
    x = np.exp(np.where(np.real(ratio) > LARGEST, LARGEST, ratio))
    if w is None:
        return -c0 * ln_teacher - LN2 * x
    return -c0 * ln_teacher - np.log1p(np.expm1(w * LN2) * x) / w


def _scale(c0: Any, units: Units) -> Any:
    """What G's logarithm gains when losses are no longer in their unit."""
    return (1 + c0) * np.log(units["output"])


def _softplus(x: Any) -> Any:
    """The logarithm of 1 + e^x, also of complex x, without overflow."""
    is_above = np.real(x) > 0
    return np.where(is_above, x, 0) + np.log1p(np.exp(np.where(is_above, -x, x)))


def _grid(inputs: Inputs, outputs: FloatArray, *more: Any) -> FloatArray:
    """Starts (S, K): the gap's size from the better teachers, the rest from a grid."""
    gaps = np.exp(outputs) - inputs["teacher_loss"]
    strong = inputs["teacher_loss"] <= np.median(inputs["teacher_loss"])
    gap = max(float(np.median(gaps[strong])), 1e-3)
    axes: tuple[Any, ...] = ([np.log(gap)], [0.0, 1.0, 3.0], np.log([0.7, 0.9, 1.1]), *more)
    return np.array([*product(*axes)], dtype=np.float64)


def _of_gap(
    parameters: tuple[str, ...],
    starts: Callable[[Inputs, FloatArray], FloatArray],
    named: Callable[[Any, Units], Any],
    inputs: tuple[str, ...] = ("teacher_loss", "student_alone"),
    **more: Any,
) -> Form:
    """A rung that is its teacher's loss and a gap."""

    def evaluate(z_RK: Any, inputs: Inputs) -> Any:
        return _student(_ln_gap(z_RK, inputs), inputs)

    def jacobian(z_RK: FloatArray, inputs: Inputs) -> FloatArray:
        gap_Rn = np.exp(_ln_gap(z_RK, inputs))
        share_Rn = gap_Rn / (inputs["teacher_loss"] + gap_Rn)
        slopes: FloatArray = share_Rn[:, :, None] * _slopes(z_RK, inputs)
        return slopes

    return _form(
        parameters, evaluate, starts, named, inputs,
        jacobian=jacobian, latent=_ln_gap, from_latent=_student,
        **{"bounds_2K": _BOUNDS_K2[: len(parameters)].T, **more},
    )  # fmt: skip


def _form(
    parameters: tuple[str, ...],
    evaluate: Callable[[Any, Inputs], Any],
    starts: Callable[[Inputs, FloatArray], FloatArray],
    named: Callable[[Any, Units], Any],
    inputs: tuple[str, ...] = ("teacher_loss", "student_alone"),
    **more: Any,
) -> Form:
    return Form(
        inputs=inputs,
        parameters=parameters,
        coefficients=len(parameters),
        evaluate=evaluate,
        starts=starts,
        named=named,
        log=True,
        like_output=frozenset(inputs) & {"teacher_loss", "student_alone"},
        output="student_loss",
        **{"version": 1, "least_sizes": 2, **more},
    )
