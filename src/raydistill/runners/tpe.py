"""Which cell next: by Optuna's tree-structured Parzen estimator."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import Trial, TrialState

from raydistill.runners.in_order import END, OBJECTIVE, InOrder, config_of
from raydistill.runners.work import FINISHED, AxisValue, Candidate
from raydistill.search import first_of_permutation

DRAWS = 50
"""Draws from TPE before the next cell of a seeded permutation is taken instead."""

Values = tuple[tuple[str, AxisValue], ...]


class Tpe(InOrder):
    """Optuna's TPE over the cells of a sweep, each at most once.

    Cells whose outcome is known count among the `trials` and are told to Optuna first; so a
    search that was killed and is repeated ends with as many distinct cells. A draw that is not a
    cell, or was drawn before, is told as failed, which TPE does not learn from. A draw that is
    the same work as another cell gets that one's outcome, without training.

    Args:
        candidates: every cell there is.
        known: outcomes by key.
        trials: distinct cells wanted, those with known outcomes included.
        seed: of the sampler.
    """

    queue = 1  # a cell drawn early is drawn in ignorance

    def __init__(
        self, candidates: Sequence[Candidate], known: Mapping[str, float], trials: int, seed: int
    ) -> None:
        super().__init__([])
        self._known = dict(known)
        self._cells = {_values(cell.axes): cell for cell in candidates}
        names = candidates[0].axes
        self._space = {
            name: CategoricalDistribution(tuple(dict.fromkeys(c.axes[name] for c in candidates)))
            for name in names
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, direction="minimize")
        shuffled = first_of_permutation(candidates, len(candidates), seed)
        self._fallback = [_values(cell.axes) for cell in shuffled]
        self._trials = min(trials, len(self._cells))
        self._drawn: set[Values] = set()
        self._running: dict[str, tuple[str, list[Trial]]] = {}
        self._tell_known()

    @property
    def drawn(self) -> list[Candidate]:
        """The distinct cells so far, known ones first."""
        return [cell for values, cell in self._cells.items() if values in self._drawn]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        while len(self._drawn) < self._trials:
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
        whole = result is not None and not error and FINISHED in result
        value = float(result[OBJECTIVE]) if whole and result else math.nan
        if whole:
            self._known[key] = value
        for trial in trials:
            self._tell(trial, value)

    def _draw(self) -> tuple[Trial, Candidate]:
        """A cell that was not drawn before."""
        for _ in range(DRAWS):
            trial = self._study.ask(self._space)
            values = _values(trial.params)
            if values in self._cells and values not in self._drawn:
                return trial, self._cells[values]
            self._study.tell(trial, state=TrialState.FAIL)
        values = next(values for values in self._fallback if values not in self._drawn)
        self._study.enqueue_trial(dict(values))
        return self._study.ask(self._space), self._cells[values]

    def _tell(self, trial: Trial, value: float) -> None:
        if math.isfinite(value):
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _tell_known(self) -> None:
        for values, cell in self._cells.items():
            if cell.key in self._known:
                self._drawn.add(values)
                self._study.enqueue_trial(dict(values))
                self._tell(self._study.ask(self._space), self._known[cell.key])


def _values(axes: Mapping[str, AxisValue]) -> Values:
    return tuple(sorted(axes.items()))
