"""What a search by Optuna found: its Pareto set, and its winner, to be trained on new seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raydistill.planning.cell import Cell, cell_name, settle
from raydistill.planning.outcomes import Half, averaged_over, final_nll, objectives, outcome_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search.brackets import Bracket, brackets_of
from raydistill.planning.search_settings import TPE, on_front
from raydistill.specs.locations import LOCATIONS, NONE
from raydistill.specs.recipe import is_setting
from raydistill.specs.results import Finished


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A finished trial of a search, by what was minimised."""

    name: str
    losses: tuple[float, ...]  # on the documents reported on
    on_front: bool  # on the documents selected on


@dataclass(frozen=True, kw_only=True, slots=True)
class Winner:
    """The best of a search and the best preset of the same model, age and count.

    The preset is as the paper has them: all at once, teacher-free, at the recipe's rate.
    """

    bracket: str
    winner: PlannedTrial
    preset: PlannedTrial
    new_seeds: tuple[int, ...]

    @property
    def is_preset(self) -> bool:
        """Whether the search found nothing better than the best preset."""
        return self.winner.trial_id == self.preset.trial_id

    @property
    def again(self) -> tuple[Cell, ...]:
        """The cells to train on new seeds: both, or the one that both are; and their controls."""
        trials = [self.winner] if self.is_preset else [self.winner, self.preset]
        controls = [control_cell(planned.cells[0]) for planned in trials]
        return (*(cell for planned in trials for cell in self.anew(planned)), *controls)

    def anew(self, planned: PlannedTrial) -> tuple[Cell, ...]:
        """One of the two with every new seed."""
        return tuple(with_seed(planned.cells[0], seed) for seed in self.new_seeds)


def with_seed(cell: Cell, seed: int) -> Cell:
    """The same cell with another data order."""
    request = replace(cell.request, seed=seed)
    return replace(cell, request=request, values={**cell.values, "seed": seed})


def control_cell(cell: Cell) -> Cell:
    """The un-truncated base on the schedule and the data of a cell (METHOD 1)."""
    control = replace(cell.request, location=NONE, loss=cell.scale.objective)
    request = settle(control, cell.scale, count_given=False)
    of_control = {name: getattr(request, name) for name in ("location", "count", "gap", "loss")}
    values = {axis: of_control.get(axis, value) for axis, value in cell.values.items()}
    return replace(cell, request=request, values=values)


def continue_hint(prepared: PreparedSweep) -> str:
    """How a search by Optuna goes on, if all its trials were finished before it began."""
    options = prepared.plan.options
    finished = len(finished_of(prepared))
    if options.search != TPE or finished < options.trials:
        return ""
    total = len(prepared.trials)
    if finished == total:
        return f"All {total} trials that there are were known: nothing is left to draw."
    more = min(total, finished + options.trials)
    return (
        f"All {options.trials} trials were known, so none was drawn: --trials {more} looks further."
    )


def finished_of(prepared: PreparedSweep) -> list[tuple[PlannedTrial, Finished]]:
    """The finished trials of a search, in the order of its cells."""
    ends = ((planned, outcome_of(planned, prepared)) for planned in prepared.trials)
    return [(planned, end) for planned, end in ends if isinstance(end, Finished)]


def points(prepared: PreparedSweep) -> tuple[Point, ...]:
    """Every finished trial of a search by the plan's objectives."""
    plan, trials, averaged = prepared.plan, finished_of(prepared), averaged_over(prepared)

    def losses(finished: Finished, half: Half) -> tuple[float, ...]:
        by_name = objectives(finished, half, averaged)
        return tuple(by_name[name] for name in plan.options.objectives)

    selection = {planned.trial_id: losses(end, "selection") for planned, end in trials}
    front = on_front({key: ls for key, ls in selection.items() if not any(map(math.isnan, ls))})
    return tuple(
        Point(
            name=name_of(planned.cells[0], plan.cells),
            losses=losses(end, "report"),
            on_front=planned.trial_id in front,
        )
        for planned, end in trials
    )


def name_of(cell: Cell, among: Sequence[Cell]) -> str:
    """The name of a cell by its location, and by whatever else differs among the cells."""
    names = ("count", "gap", "age", "order", "loss", "peak_lr")
    varying = [n for n in names if len({getattr(other.request, n) for other in among}) > 1]
    values = {n: getattr(cell.request, n) for n in varying}
    recipe = {n: v for n, v in cell.values.items() if is_setting(n)}
    if "lr" in recipe:
        values.pop("peak_lr", None)
    differ = {n for n in recipe if len({other.values.get(n) for other in among}) > 1}
    return cell_name(cell.request.location, values | {n: recipe[n] for n in recipe if n in differ})


def winner(prepared: PreparedSweep) -> Winner | None:
    """The winner of a search that names new seeds, once it has all its trials; else None.

    It has the lowest loss on the documents to select on, in the bracket (one model, age and
    count) of which the search has finished most, among those with a preset.
    """
    plan = prepared.plan
    seeds = plan.sweep.searching.new_seeds
    if plan.options.search != TPE or not seeds:
        return None
    trials = finished_of(prepared)
    if len(trials) < plan.options.trials:
        return None
    losses = {planned.trial_id: final_nll(end, "selection") for planned, end in trials}
    brackets, _ = brackets_of([planned for planned, _ in trials])
    probed = plan.options.lr_probe
    with_presets = [bracket for bracket in brackets if _presets(bracket, probed=probed)]
    if not with_presets:
        return None
    bracket = max(with_presets, key=lambda bracket: len(bracket.contenders))
    used = max(cell.request.seed for cell in plan.cells)

    def best(rivals: Sequence[PlannedTrial]) -> PlannedTrial:
        return min(rivals, key=lambda planned: losses[planned.trial_id])

    return Winner(
        bracket=bracket.title,
        winner=best(_rivals(bracket)),
        preset=best(_presets(bracket, probed=probed)),
        new_seeds=tuple(range(used + 1, used + 1 + seeds)),
    )


def _rivals(bracket: Bracket) -> list[PlannedTrial]:
    return [trials[0] for trials in bracket.contenders.values()]


def _presets(bracket: Bracket, *, probed: bool) -> list[PlannedTrial]:
    return [
        planned
        for planned in _rivals(bracket)
        if any(_is_preset(cell, probed=probed) for cell in planned.cells)
    ]


def _is_preset(cell: Cell, *, probed: bool) -> bool:
    """As in the paper: all at once, teacher-free, at the recipe's peak rate or the probed one."""
    request = cell.request
    return (
        request.location in LOCATIONS
        and not request.gap
        and request.loss == cell.scale.objective
        and (probed or cell.scale.recipe(request).peak_lr == cell.scale.heal.peak_lr)
    )


def winner_again(prepared: PreparedSweep) -> tuple[Cell, ...]:
    """The cells of the winner's new seeds, and controls; none before there is a winner."""
    champion = winner(prepared)
    return () if champion is None else champion.again
