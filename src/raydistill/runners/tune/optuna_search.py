"""A search algorithm for Tune: Optuna's TPE, for one objective or several."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from raydistill.core.serialization import digest
from raydistill.planning.axes.ranges import FEWEST_LEVELS
from raydistill.planning.outcomes import study_url
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.search_settings import OBJECTIVES, first_of_permutation
from raydistill.runners.cluster.stop_signal import stop_requested
from raydistill.runners.cluster.work import FINISHED, AxisValue, Candidate, Metrics
from raydistill.runners.tune.in_order import END, InOrder, config_of
from raydistill.storage.sharing import done_by_one

DRAWS = 50  # from the sampler, before the next cell of a seeded permutation is taken instead

Values = tuple[tuple[str, AxisValue], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRequest:
    """What a study is to do."""

    objectives: tuple[str, ...]  # of `search_settings.OBJECTIVES`, all minimised
    trials: int  # distinct cells to reach, those with known results included
    seed: int  # of the sampler
    first: Sequence[Mapping[str, AxisValue]] = ()  # values of cells to try before it draws
    url: str  # of the database that keeps the study, for Optuna's own tools
    name: str  # of the study in it


class Study(InOrder):
    """Optuna's TPE over the cells of a sweep, each at most once; of several losses the Pareto set.

    The sampler goes through the axes in order and draws only where the cells that match so far
    differ: a control has no count to choose. An axis of floats above 0 is drawn on a log scale and
    rounded to the nearest of its values, and so are the values of a range, evenly if 0 is among
    them; every other axis is categorical. A draw that is no cell, or was
    drawn before, is marked as failed, which TPE does not learn from. A draw that is the same work
    as another cell gets that one's result, without training.

    Cells with known results count among the `trials` and come first; so a search that was killed
    and is repeated ends with as many distinct cells. The sampler's study lives in memory; the
    database gets each finished cell once, as it was trained.

    Args:
        candidates: every cell there is.
        known: metrics of finished trials, by key.
        request: what to search for, and how.

    Attributes:
        stored: the study in the database.
    """

    queue = 1  # a cell drawn early would ignore the results until it begins

    def __init__(
        self, candidates: Sequence[Candidate], known: Mapping[str, Metrics], request: StudyRequest
    ) -> None:
        super().__init__([])
        self._objectives = request.objectives
        self._cells = {_values(cell.axes): cell for cell in candidates}
        self._known = {key: self._losses(metrics) for key, metrics in known.items()}
        space = study_space(candidates)
        self._space = {name: _distribution(values) for name, values in space.items()}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["minimize"] * len(request.objectives)
        sampler = TPESampler(
            seed=request.seed,
            constant_liar=True,
            n_startup_trials=min(10, max(1, request.trials // 2)),
        )
        self._sampling = optuna.create_study(sampler=sampler, directions=directions)
        self.stored = optuna.create_study(
            storage=request.url, study_name=request.name, directions=directions, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.stored.set_metric_names(list(request.objectives))
        self._recorded = {trial.user_attrs["key"] for trial in self.stored.trials}
        shuffled = first_of_permutation(candidates, len(candidates), request.seed)
        self._fallback = [_values(cell.axes) for cell in shuffled]
        self._presets = [_values(cell.axes) for cell in _matching(candidates, request.first)]
        self._trials = min(request.trials, len(self._cells))
        self._drawn: set[Values] = set()
        self._running: dict[str, tuple[str, list[Trial]]] = {}
        for values, cell in self._cells.items():
            if cell.key in self._known:
                self._drawn.add(values)
                self._tell(self._trial_of(values), self._known[cell.key])
                self._record(cell.key)

    @property
    def drawn(self) -> list[Candidate]:
        """The distinct cells so far, known ones first."""
        return [cell for values, cell in self._cells.items() if values in self._drawn]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        while len(self._drawn) < self._trials and not stop_requested():
            trial, cell = self._draw()
            self._drawn.add(_values(cell.axes))
            twins = [trials for key, trials in self._running.values() if key == cell.key]
            if cell.key in self._known:
                self._tell(trial, self._known[cell.key])
            elif twins:
                twins[0].append(trial)
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
        """The objectives' values; empty if one is not finite."""
        losses = tuple(float(metrics[OBJECTIVES[name]]) for name in self._objectives)
        return losses if all(map(math.isfinite, losses)) else ()

    def _draw(self) -> tuple[Trial, Candidate]:
        """A cell that was not drawn before."""
        undrawn = [values for values in self._presets if values not in self._drawn]
        if not undrawn:
            for _ in range(DRAWS):
                trial = self._sampling.ask()
                cell = self._sample(trial)
                if cell is not None and _values(cell.axes) not in self._drawn:
                    return trial, cell
                self._tell(trial, ())
            undrawn = [values for values in self._fallback if values not in self._drawn]
        return self._trial_of(undrawn[0]), self._cells[undrawn[0]]

    def _sample(self, trial: Trial) -> Candidate | None:
        """The cell that a trial of the sampler chooses, axis by axis; None if there is none."""
        matching = list(self._cells.values())
        for name, distribution in self._space.items():
            values = dict.fromkeys(cell.axes[name] for cell in matching if name in cell.axes)
            if len(values) > 1:
                value = _suggest(trial, name, distribution)
                nearest = min(values, key=partial(_distance, value, distribution))
                if nearest != value and not isinstance(distribution, FloatDistribution):
                    return None
                matching = [cell for cell in matching if cell.axes.get(name, nearest) == nearest]
        return matching[0]

    def _trial_of(self, values: Values) -> Trial:
        """A trial of the sampler that chooses these values."""
        self._sampling.enqueue_trial(dict(values))
        trial = self._sampling.ask()
        self._sample(trial)
        return trial

    def _tell(self, trial: Trial, losses: tuple[float, ...]) -> None:
        if losses:
            self._sampling.tell(trial, losses)
        else:
            self._sampling.tell(trial, state=TrialState.FAIL)

    def _record(self, key: str) -> None:
        """Put a finished cell into the database, unless it is there."""
        if key in self._recorded or not self._known[key]:
            return
        self._recorded.add(key)
        cell = next(cell for cell in self._cells.values() if cell.key == key)
        self.stored.add_trial(
            create_trial(
                params=dict(cell.axes),
                distributions={name: self._space[name] for name in cell.axes},
                values=self._known[key],
                user_attrs={"key": key},
            )
        )


def study_space(candidates: Sequence[Candidate]) -> dict[str, list[AxisValue]]:
    """The values of every axis, in order, which a study in a database cannot change."""
    names = dict.fromkeys(name for cell in candidates for name in cell.axes)
    return {
        name: list(dict.fromkeys(cell.axes[name] for cell in candidates if name in cell.axes))
        for name in names
    }


def _distribution(values: Sequence[AxisValue]) -> BaseDistribution:
    numbers = [value for value in values if not isinstance(value, str)]
    floats = [value for value in numbers if isinstance(value, float)]
    rates = len(floats) == len(values) and min(floats) > 0
    of_range = len(numbers) == len(values) >= FEWEST_LEVELS and floats
    if rates or of_range:
        return FloatDistribution(min(numbers), max(numbers), log=min(numbers) > 0)
    return CategoricalDistribution(tuple(values))


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> AxisValue:
    value: AxisValue
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        value = trial.suggest_float(name, low, high, log=distribution.log)
    else:
        assert isinstance(distribution, CategoricalDistribution), distribution
        value = trial.suggest_categorical(name, distribution.choices)
    return value


def _distance(value: AxisValue, distribution: BaseDistribution, other: AxisValue) -> float:
    """Between two values of an axis: on its scale, or 0 and 1."""
    if not isinstance(distribution, FloatDistribution):
        return float(value != other)
    scale = math.log if distribution.log else float
    return abs(scale(float(value)) - scale(float(other)))


def _matching(
    candidates: Sequence[Candidate], presets: Sequence[Mapping[str, AxisValue]]
) -> list[Candidate]:
    """For each preset the first cell with its values, if there is one."""
    return [
        cell
        for values in presets
        for cell in [c for c in candidates if values.items() <= c.axes.items()][:1]
    ]


def _values(axes: Mapping[str, AxisValue]) -> Values:
    return tuple(sorted(axes.items()))


def study(
    prepared: PreparedSweep, candidates: Sequence[Candidate], done: Mapping[str, Metrics]
) -> Study:
    """Optuna's search over the trials of a sweep, with the results of finished ones."""
    plan, options = prepared.plan, prepared.plan.options
    space = digest({"axes": study_space(candidates), "objectives": options.objectives})
    request = StudyRequest(
        objectives=options.objectives,
        trials=options.trials,
        seed=options.seed,
        first=plan.sweep.searching.first,
        url=study_url(prepared.store),
        name=f"{plan.sweep.name}, {plan.scale.name}, {space[:8]}",
    )
    with done_by_one(prepared.store.root, "study"):  # two that create the database leave none
        return Study(candidates, done, request)
