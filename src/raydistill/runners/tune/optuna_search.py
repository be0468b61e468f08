"""Which cell next: by Optuna, for one objective or several."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from raydistill.core.serialization import digest
from raydistill.planning.outcomes import study_url
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.search_settings import OBJECTIVES, first_of_permutation
from raydistill.runners.cluster.stop_signal import stop_asked
from raydistill.runners.cluster.work import FINISHED, AxisValue, Candidate, Metrics
from raydistill.runners.tune.in_order import END, InOrder, config_of

DRAWS = 50
"""Draws from the sampler before the next cell of a seeded permutation is taken instead."""

Values = tuple[tuple[str, AxisValue], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRequest:
    """What a study is to do.

    Attributes:
        objectives: of `search.OBJECTIVES`, all minimised.
        trials: distinct cells wanted, those with known outcomes included.
        seed: of the sampler.
        first: cells to try before the sampler is asked: each is the first with these values.
        url: of the database that keeps the study, for Optuna's own tools.
        name: of the study in it.
    """

    objectives: tuple[str, ...]
    trials: int
    seed: int
    first: Sequence[Mapping[str, AxisValue]] = ()
    url: str
    name: str


class Study(InOrder):
    """Optuna's TPE over the cells of a sweep, each at most once; of several losses the Pareto set.

    The sampler walks the axes in their order and is asked only where the cells left differ: a
    control has no count to choose. An axis of floats is drawn on a log scale and rounded to the
    nearest of its values, every other axis is categorical. A draw that is no cell, or was drawn
    before, is told as failed, which TPE does not learn from. A draw that is the same work as
    another cell gets that one's outcome, without training.

    Cells whose outcome is known count among the `trials` and are told first; so a search that was
    killed and is repeated ends with as many distinct cells. The sampler's draws are its own
    affair and live in memory; the database gets each finished cell once, as it was trained.

    Args:
        candidates: every cell there is.
        known: metrics of finished trials, by key.
        asked: for what, and how.
    """

    queue = 1  # a cell drawn early is drawn in ignorance

    def __init__(
        self, candidates: Sequence[Candidate], known: Mapping[str, Metrics], asked: StudyRequest
    ) -> None:
        super().__init__([])
        self._asked = asked
        self._cells = {_values(cell.axes): cell for cell in candidates}
        self._known = {key: self._losses(metrics) for key, metrics in known.items()}
        self._space = _space(candidates)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["minimize"] * len(asked.objectives)
        sampler = TPESampler(
            seed=asked.seed, constant_liar=True, n_startup_trials=min(10, max(1, asked.trials // 2))
        )
        self._drawing = optuna.create_study(sampler=sampler, directions=directions)
        self.kept = optuna.create_study(
            storage=asked.url, study_name=asked.name, directions=directions, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.kept.set_metric_names(list(asked.objectives))
        self._recorded = {trial.user_attrs["key"] for trial in self.kept.trials}
        shuffled = first_of_permutation(candidates, len(candidates), asked.seed)
        self._fallback = [_values(cell.axes) for cell in shuffled]
        self._first = [_values(cell.axes) for cell in _matching(candidates, asked.first)]
        self._trials = min(asked.trials, len(self._cells))
        self._drawn: set[Values] = set()
        self._running: dict[str, tuple[str, list[Trial]]] = {}
        self._tell_known()

    @property
    def drawn(self) -> list[Candidate]:
        """The distinct cells so far, known ones first."""
        return [cell for values, cell in self._cells.items() if values in self._drawn]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        while len(self._drawn) < self._trials and not stop_asked():
            trial, cell = self._draw()
            self._drawn.add(_values(cell.axes))
            same = [waiting for key, waiting in self._running.values() if key == cell.key]
            if cell.key in self._known:
                self._tell(trial, self._known[cell.key])
            elif same:
                same[0].append(trial)
            else:
                self._running[trial_id] = (cell.key, [trial])
                return config_of(cell)
        return END

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        key, trials = self._running.pop(trial_id)
        if result is not None and not error and FINISHED in result:
            self._known[key] = self._losses(result)
            self._record(key)
        for trial in trials:
            self._tell(trial, self._known.get(key, ()))

    def _losses(self, metrics: Metrics) -> tuple[float, ...]:
        """What is minimised; empty where a part of it is no number."""
        losses = tuple(float(metrics[OBJECTIVES[name]]) for name in self._asked.objectives)
        return losses if all(map(math.isfinite, losses)) else ()

    def _draw(self) -> tuple[Trial, Candidate]:
        """A cell that was not drawn before."""
        waiting = [values for values in self._first if values not in self._drawn]
        if not waiting:
            for _ in range(DRAWS):
                trial = self._drawing.ask()
                cell = self._walked(trial)
                if cell is not None and _values(cell.axes) not in self._drawn:
                    return trial, cell
                self._drawing.tell(trial, state=TrialState.FAIL)
            waiting = [values for values in self._fallback if values not in self._drawn]
        return self._given(waiting[0]), self._cells[waiting[0]]

    def _walked(self, trial: Trial) -> Candidate | None:
        """The cell that a trial's choices lead to, axis by axis; None if they lead nowhere."""
        left = list(self._cells.values())
        for name, distribution in self._space.items():
            if len({cell.axes[name] for cell in left}) > 1:
                value = _suggested(trial, name, distribution)
                nearest = min((cell.axes[name] for cell in left), key=_distance(value))
                if nearest != value and not isinstance(distribution, FloatDistribution):
                    return None
                left = [cell for cell in left if cell.axes[name] == nearest]
        return left[0]

    def _given(self, values: Values) -> Trial:
        """A trial of the sampler's that leads to a cell named from outside."""
        self._drawing.enqueue_trial(dict(values))
        trial = self._drawing.ask()
        self._walked(trial)
        return trial

    def _tell(self, trial: Trial, losses: tuple[float, ...]) -> None:
        if losses:
            self._drawing.tell(trial, losses)
        else:
            self._drawing.tell(trial, state=TrialState.FAIL)

    def _tell_known(self) -> None:
        for values, cell in self._cells.items():
            if cell.key in self._known:
                self._drawn.add(values)
                self._tell(self._given(values), self._known[cell.key])
                self._record(cell.key)

    def _record(self, key: str) -> None:
        """Put a finished cell into the database, unless it is there."""
        if key in self._recorded or not self._known[key]:
            return
        self._recorded.add(key)
        cell = next(cell for cell in self._cells.values() if cell.key == key)
        self.kept.add_trial(
            create_trial(
                params=dict(cell.axes),
                distributions=self._space,
                values=self._known[key],
                user_attrs={"key": key},
            )
        )


def study_space(candidates: Sequence[Candidate]) -> dict[str, list[AxisValue]]:
    """The values of every axis, in order: what a study in a database cannot change."""
    return {
        name: list(dict.fromkeys(cell.axes[name] for cell in candidates))
        for name in candidates[0].axes
    }


def _space(candidates: Sequence[Candidate]) -> dict[str, BaseDistribution]:
    return {name: _distribution(values) for name, values in study_space(candidates).items()}


def _distribution(values: Sequence[AxisValue]) -> BaseDistribution:
    floats = [value for value in values if isinstance(value, float) and value > 0]
    if len(floats) == len(values):
        return FloatDistribution(min(floats), max(floats), log=True)
    return CategoricalDistribution(tuple(values))


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> AxisValue:
    if isinstance(distribution, FloatDistribution):
        drawn: float = trial.suggest_float(name, distribution.low, distribution.high, log=True)
        return drawn
    assert isinstance(distribution, CategoricalDistribution), distribution
    value: AxisValue = trial.suggest_categorical(name, distribution.choices)
    return value


def _distance(value: AxisValue) -> Callable[[AxisValue], float]:
    """How far a value of an axis is from `value`: on a log scale, or 0 and 1."""

    def from_value(other: AxisValue) -> float:
        if isinstance(value, float) and isinstance(other, float):
            return abs(math.log(value / other))
        return float(value != other)

    return from_value


def _matching(
    candidates: Sequence[Candidate], wanted: Sequence[Mapping[str, AxisValue]]
) -> list[Candidate]:
    """The first cell with each of the wanted values, where there is one."""
    found = []
    for values in wanted:
        fitting = (cell for cell in candidates if values.items() <= cell.axes.items())
        found += [cell for cell in [next(fitting, None)] if cell is not None]
    return found


def _values(axes: Mapping[str, AxisValue]) -> Values:
    return tuple(sorted(axes.items()))


def study(
    prepared: PreparedSweep, candidates: Sequence[Candidate], done: Mapping[str, Metrics]
) -> Study:
    """Optuna's choice of the trials of a sweep, told of the finished ones."""
    plan, options = prepared.plan, prepared.plan.options
    space = digest({"axes": study_space(candidates), "objectives": options.objectives})
    asked = StudyRequest(
        objectives=options.objectives,
        trials=options.trials,
        seed=options.seed,
        first=plan.sweep.searching.first,
        url=study_url(prepared.store),
        name=f"{plan.sweep.name}, {plan.scale.name}, {space[:8]}",
    )
    return Study(candidates, done, asked)
