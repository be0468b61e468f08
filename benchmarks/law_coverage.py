"""How often the 95 % intervals of laws hold the truth, at designs like ours: few sizes, few seeds.

    python benchmarks/law_coverage.py [--draws 500] [--seed 0] [--form jump ...] [--design line ...]

Each design plants a law, draws noise of 1 % anew for every draw, fits, and counts how often the
intervals of each parameter and of two predictions hold what was planted, to within rounding: one
between the sizes, one twice beyond the largest. "With noise" is about a further run there. Beside
each share: how often the points determined the value at all (both ends of its interval are there);
an interval without an end holds the truth on that side.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raydistill.laws.fitting import Objective, fit
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.published import STUDENT_SURFACE, TEACHER_GAP

NOISE = 0.01
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """A planted law and where it is measured.

    Attributes:
        form: what is fitted.
        inputs: (n,) each, with every seed.
        law: inputs to outputs without noise.
        planted: the parameters, in the form's order.
        objective: of the fit.
        elsewhere: further places where predictions are asked for, by what they are called.
    """

    form: str
    inputs: Mapping[str, FloatArray]
    law: Callable[[Mapping[str, Any]], Any]
    planted: tuple[float, ...]
    objective: Objective = "least-squares"
    elsewhere: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether noise is the same everywhere, as these two forms assume."""
        return self.form in ("line", "minimum")

    def places(self) -> dict[str, Mapping[str, float]]:
        """Where predictions are asked for."""
        between = {name: float(np.exp(np.log(x).mean()) * 1.1) for name, x in self.inputs.items()}
        factor = 1.2 if "teacher_loss" in self.inputs else 2.0
        beyond = {name: factor * float(x.max()) for name, x in self.inputs.items()}
        if "student_alone" in self.inputs:
            between["student_alone"] = beyond["student_alone"] = 2.45
        return {"between": between, f"{factor:g}× beyond": beyond, **self.elsewhere}

    def draw(self, rng: np.random.Generator, at: Mapping[str, Any]) -> Any:
        """Outputs with noise."""
        exact = np.asarray(self.law(at), dtype=np.float64)
        noise = NOISE * rng.standard_normal(exact.shape)
        if self.is_plain:
            return exact + noise * float(np.mean(self.law(self.inputs)))
        return exact * np.exp(noise)


def sizes(count: int, seeds: int, low: float = 1e5, factor: float = 2.0) -> FloatArray:
    """`count` sizes, `factor` times apart, on `seeds` seeds each."""
    return np.repeat(low * factor ** np.arange(count), seeds)


def grid(count: int, budgets: int, seeds: int) -> dict[str, FloatArray]:
    """Sizes × tokens × seeds."""
    params, tokens = np.meshgrid(5e7 * 4.0 ** np.arange(count), 1e9 * 8.0 ** np.arange(budgets))
    return {"params": np.repeat(params.ravel(), seeds), "tokens": np.repeat(tokens.ravel(), seeds)}


def _line(at: Mapping[str, Any]) -> Any:
    return 2.498 * at["x"] - 1.1e4


def _minimum(at: Mapping[str, Any]) -> Any:
    return 3 + 0.1 * np.log(at["x"] / 4e5) ** 2


def _power(at: Mapping[str, Any]) -> Any:
    return 30 * at["x"] ** -0.15


def _jump(at: Mapping[str, Any]) -> Any:
    return np.where(at["x"] < 1.2e6, 12 * at["x"] ** -0.09, 20 * at["x"] ** -0.14)


def _step(at: Mapping[str, Any]) -> Any:
    return np.where(at["x"] < 1.2e6, 12 * at["x"] ** -0.09, 11.7 * at["x"] ** -0.09)


def _knot(at: Mapping[str, Any]) -> Any:
    return 12 * at["x"] ** -0.09 * np.maximum(at["x"] / 1.2e6, 1) ** -0.1


def _chinchilla(at: Mapping[str, Any]) -> Any:
    return 1.8169 + 482 * at["params"] ** -0.3478 + 2085 * at["tokens"] ** -0.3659


def _broken(at: Mapping[str, Any]) -> Any:
    return 0.5 + 3 * at["x"] ** -0.05 * (1 + (at["x"] / 40) ** 5) ** (-2 * 0.2)


def _gap(at: Mapping[str, Any]) -> Any:
    teacher, alone = at["teacher_loss"], at["student_alone"]
    return teacher + 3 * teacher**-2.5 * 2.0 ** -((teacher / (1.05 * alone)) ** 10)


def _whole(at: Mapping[str, Any]) -> Any:
    return TEACHER_GAP.student_loss(
        at["student_params"], at["student_tokens"], at["teacher_loss"], at["student_alone"]
    )


def _straight(at: Mapping[str, Any]) -> Any:
    return 0.9 + 0.6 * at["teacher_loss"]


def lessons(teachers: int, seeds: int) -> dict[str, FloatArray]:
    """One student of teachers of several losses."""
    losses = np.repeat(np.linspace(1.8, 3.0, teachers), seeds)
    return {"teacher_loss": losses, "student_alone": np.full_like(losses, 2.45)}


def school() -> dict[str, FloatArray]:
    """Three students at three budgets of six teachers each."""
    axes = np.geomspace(5e7, 3e9, 3), np.geomspace(2e8, 6e10, 3), np.linspace(1.8, 2.9, 6)
    params, tokens, teacher = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    alone = STUDENT_SURFACE.loss(params, tokens)
    return {
        "student_tokens": tokens, "student_params": params, "teacher_loss": teacher,
        "student_alone": alone,
    }  # fmt: skip


def _better_school() -> dict[str, float]:
    """A larger student on more tokens, of a better teacher: there the gap has not died away."""
    params, tokens = 1.2 * 3e9, 1.2 * 6e10
    alone = float(STUDENT_SURFACE.loss(params, tokens))
    return {
        "student_tokens": tokens, "student_params": params, "teacher_loss": 1.8 / 1.2,
        "student_alone": alone,
    }  # fmt: skip


def _nine() -> tuple[float, ...]:
    one = TEACHER_GAP
    turn = one.d1 * np.expm1(np.log(2) / (one.c1 * one.f1)) ** one.f1
    return one.c0, one.c1, one.f1, float(turn), one.A, one.B, one.alpha, one.beta, one.gamma


_SURFACE = (1.8169, 482.0, 2085.0, 0.3478, 0.3659)
DESIGNS = {
    "line: 4 sizes × 2 seeds": Design(
        form="line", inputs={"x": sizes(4, 2)}, law=_line, planted=(2.498, -1.1e4)
    ),
    "minimum: 5 sizes × 2 seeds": Design(
        form="minimum", inputs={"x": sizes(5, 2)}, law=_minimum, planted=(4e5, 3, 0.1)
    ),
    "power: 5 sizes × 2 seeds": Design(
        form="power", inputs={"x": sizes(5, 2)}, law=_power, planted=(30, -0.15)
    ),
    "jump: 8 sizes × 2 seeds": Design(
        form="jump", inputs={"x": sizes(8, 2)}, law=_jump, planted=(12, -0.09, 20, -0.14, 1.2e6)
    ),
    "jump of 2.5 times the noise: 8 sizes × 2 seeds": Design(
        form="jump", inputs={"x": sizes(8, 2)}, law=_step, planted=(12, -0.09, 11.7, -0.09, 1.2e6)
    ),
    "jump of 2.5 times the noise: 12 sizes × 2 seeds": Design(
        form="jump",
        inputs={"x": sizes(12, 2, low=2e4)},
        law=_step,
        planted=(12, -0.09, 11.7, -0.09, 1.2e6),
    ),
    "knots: 8 sizes × 3 seeds": Design(
        form="knots",
        inputs={"x": sizes(8, 3)},
        law=_knot,
        planted=(12, -0.09, -0.19, 1.2e6),
    ),
    "chinchilla: 4 sizes × 4 budgets × 2 seeds": Design(
        form="chinchilla", inputs=grid(4, 4, 2), law=_chinchilla, planted=_SURFACE
    ),
    "smooth-break: 10 sizes × 2 seeds": Design(
        form="smooth-break",
        inputs={"x": sizes(10, 2, low=2.0)},
        law=_broken,
        planted=(0.5, 3, 0.05, 2, 40, 0.2),
    ),
    "distillation+parameters=2: 6 teachers × 2 seeds": Design(
        form="distillation+parameters=2",
        inputs={"teacher_loss": lessons(6, 2)["teacher_loss"]},
        law=_straight,
        planted=(0.9, 0.6),
    ),
    "distillation: 8 teachers × 3 seeds": Design(
        form="distillation", inputs=lessons(8, 3), law=_gap, planted=(3, 2.5, 1.05)
    ),
    "distillation+parameters=4: 12 teachers × 3 seeds": Design(
        form="distillation+parameters=4",
        inputs=lessons(12, 3),
        law=_gap,
        planted=(3, 2.5, 1.05, 0.1),
    ),
    "distillation+parameters=9: 3 sizes × 3 budgets × 6 teachers": Design(
        form="distillation+parameters=9",
        inputs=school(),
        law=_whole,
        planted=_nine(),
        elsewhere={"1.2× beyond, by a better teacher": _better_school()},
    ),
    "line by Huber: 4 sizes × 3 seeds": Design(
        form="line",
        inputs={"x": sizes(4, 3)},
        law=_line,
        planted=(2.498, -1.1e4),
        objective="huber",
    ),
    "power by Huber: 5 sizes × 3 seeds": Design(
        form="power",
        inputs={"x": sizes(5, 3)},
        law=_power,
        planted=(30, -0.15),
        objective="huber",
    ),
    "chinchilla by Huber: 4 sizes × 4 budgets × 2 seeds": Design(
        form="chinchilla",
        inputs=grid(4, 4, 2),
        law=_chinchilla,
        planted=_SURFACE,
        objective="huber",
    ),
}


def coverage(design: Design, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """By what is told: how often its interval holds the truth, and how often it has both ends."""
    tally = Tally()
    for _ in tally.counted(design, draws, seed):
        pass
    return tally.shares()


class Tally:
    """What was counted so far."""

    def __init__(self) -> None:
        self.draws = 0
        self.holds: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def counted(self, design: Design, draws: int, seed: int) -> Iterator[None]:
        """Count draw after draw."""
        rng = np.random.default_rng(seed)
        places = design.places()
        at = {name: np.array([one[name] for one in places.values()]) for name in design.inputs}
        for _ in range(draws):
            outputs = design.draw(rng, design.inputs)
            names = tuple(f"run-{i}" for i in range(len(outputs)))
            points = Points(inputs=design.inputs, outputs=outputs, names=names)
            law = fit(design.form, points, objective=design.objective)
            for (name, one), truth in zip(law.parameters.items(), design.planted, strict=True):
                self._count(name, (one.low, one.high), truth)
            for (name, place), told in zip(places.items(), law.predictions(at), strict=True):
                self._count(name, told.interval, float(design.law(place)))
                further = float(design.draw(rng, place))
                self._count(f"{name}, with noise", told.interval_with_noise, further)
            self.draws += 1
            yield

    def shares(self) -> dict[str, tuple[float, float]]:
        """As `coverage`."""
        return {
            name: (self.holds[name] / self.draws, self.ended[name] / self.draws)
            for name in self.ended | self.holds
        }

    def _count(self, name: str, ends: tuple[float, float], truth: float) -> None:
        slack = _ROUNDING * abs(truth)
        self.holds[name] += ends[0] - slack <= truth <= ends[1] + slack
        self.ended[name] += 0 < abs(ends[0]) < np.inf and ends[1] < np.inf


def page(designs: Mapping[str, Design], draws: int, seed: int = 0) -> Iterator[str]:
    """The table, as Markdown, line by line; what was counted so far goes to the terminal."""
    yield "| design | of | holds the truth | has both ends |"
    yield "|---|---|---|---|"
    for title, design in designs.items():
        tally = Tally()
        for _ in tally.counted(design, draws, seed):
            if tally.draws % 25 == 0:
                print(f"{title}: {tally.draws} of {draws} draws", file=sys.stderr)
                shares = tally.shares().items()
                held = (
                    f"{name} {100 * held:.1f} % ({100 * ends:.0f})" for name, (held, ends) in shares
                )
                print("  " + ", ".join(held), file=sys.stderr, flush=True)
        for name, (held, ends) in tally.shares().items():
            yield f"| {title} | {name} | {100 * held:.1f} % | {100 * ends:.0f} % |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", nargs="+", help="forms, as the fit has them: distillation")
    parser.add_argument("--design", nargs="+", default=[""], help="beginnings of their names")
    args = parser.parse_args()
    beginnings = tuple(args.design)
    chosen = {
        name: one
        for name, one in DESIGNS.items()
        if name.startswith(beginnings) and (not args.form or one.form in args.form)
    }
    if not chosen:
        parser.error(f"no such design; there are {', '.join(DESIGNS)}")
    for line in page(chosen, args.draws, args.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
