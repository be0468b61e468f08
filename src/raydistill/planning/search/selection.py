"""What a search by Optuna found: its Pareto set, and whether its winner stands on new seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.planning.cell import Cell, cell_name, settle
from raydistill.planning.outcomes import averaged_over, final_nll, objectives, outcome_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search.brackets import Bracket, contests
from raydistill.planning.search_settings import TPE, on_front
from raydistill.specs.locations import LOCATIONS, NONE
from raydistill.specs.results import Finished
from raydistill.specs.trial import TEACHER_FREE


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A finished trial of a search, by what was minimised."""

    name: str
    losses: tuple[float, ...]  # on the documents reported on
    on_front: bool  # by the documents that were selected on


@dataclass(frozen=True, kw_only=True, slots=True)
class Winner:
    """The best of a search and the best preset of the same model, age and count.

    The preset is as the paper has them: all at once, teacher-free, at the recipe's rate.
    """

    contest: str
    winner: PlannedTrial
    preset: PlannedTrial
    new_seeds: tuple[int, ...]

    @property
    def is_preset(self) -> bool:
        """Whether the search found nothing better than the best preset."""
        return self.winner.trial_id == self.preset.trial_id

    @property
    def again(self) -> tuple[Cell, ...]:
        """What is trained anew: both, or the one that they are; and the control of each."""
        both = [self.winner] if self.is_preset else [self.winner, self.preset]
        controls = [control_of(each.cells[0]) for each in both]
        return (*(cell for each in both for cell in self.anew(each)), *controls)

    def anew(self, planned: PlannedTrial) -> tuple[Cell, ...]:
        """One of the two with every new seed."""
        return tuple(with_seed(planned.cells[0], seed) for seed in self.new_seeds)


def with_seed(cell: Cell, seed: int) -> Cell:
    """The same cell with another data order."""
    request = replace(cell.request, seed=seed)
    return replace(cell, request=request, values={**cell.values, "seed": seed})


def control_of(cell: Cell) -> Cell:
    """The whole base on the schedule and the data of a cell."""
    asked = replace(cell.request, location=NONE, loss=TEACHER_FREE)
    request = settle(asked, cell.scale, count_given=False)
    of_control = {name: getattr(request, name) for name in ("location", "count", "gap", "loss")}
    values = {axis: of_control.get(axis, value) for axis, value in cell.values.items()}
    return replace(cell, request=request, values=values)


def continue_hint(prepared: PreparedSweep) -> str:
    """How a search by Optuna looks further, if all its trials were finished before it began."""
    options = prepared.plan.options
    finished = len(searched(prepared))
    if options.search != TPE or finished < options.trials:
        return ""
    every = len(prepared.trials)
    if finished == every:
        return f"All {every} trials that there are were known: nothing is left to draw."
    more = min(every, finished + options.trials)
    return (
        f"All {options.trials} trials were known, so none was drawn: --trials {more} looks further."
    )


def searched(prepared: PreparedSweep) -> list[tuple[PlannedTrial, Finished]]:
    """The finished trials of a search, in the order of its cells."""
    ends = ((planned, outcome_of(planned, prepared)) for planned in prepared.trials)
    return [(planned, end) for planned, end in ends if isinstance(end, Finished)]


def points(prepared: PreparedSweep) -> tuple[Point, ...]:
    """Every finished trial of a search by the plan's objectives."""
    plan, ends, averaged = prepared.plan, searched(prepared), averaged_over(prepared)
    minimised = plan.options.objectives
    by_half = [
        {
            str(place): tuple(objectives(finished, half, averaged)[name] for name in minimised)
            for place, (_, finished) in enumerate(ends)
        }
        for half in ("selection", "report")
    ]
    front = on_front({place: each for place, each in by_half[0].items() if not _has_nan(each)})
    return tuple(
        Point(
            name=name_of(planned.cells[0], plan.cells),
            losses=by_half[1][str(place)],
            on_front=str(place) in front,
        )
        for place, (planned, _) in enumerate(ends)
    )


def _has_nan(losses: Sequence[float]) -> bool:
    return any(math.isnan(loss) for loss in losses)


def name_of(cell: Cell, among: Sequence[Cell]) -> str:
    """A cell by its location, and by whatever else differs among the cells."""
    names = ("count", "gap", "age", "order", "loss", "peak_lr")
    varying = [n for n in names if len({getattr(other.request, n) for other in among}) > 1]
    return cell_name(cell.request.location, {n: getattr(cell.request, n) for n in varying})


def winner(prepared: PreparedSweep) -> Winner | None:
    """Who won, once a search that names new seeds has all its trials.

    The winner is the one with the lowest loss on the documents to select on, in the contest (one
    model, age and count) of which the search has finished most, a preset among them.
    """
    plan = prepared.plan
    seeds = plan.sweep.searching.new_seeds
    if plan.options.search != TPE or not seeds:
        return None
    ends = searched(prepared)
    if len(ends) < plan.options.trials:
        return None
    losses = {planned.trial_id: final_nll(end, "selection") for planned, end in ends}
    races, _ = contests([planned for planned, _ in ends])
    probed = plan.options.lr_probe
    with_presets = [race for race in races if _presets(race, probed=probed)]
    if not with_presets:
        return None
    contest = max(with_presets, key=lambda race: len(race.contenders))
    used = max(cell.request.seed for cell in plan.cells)
    return Winner(
        contest=contest.title,
        winner=_best(losses, _rivals(contest)),
        preset=_best(losses, _presets(contest, probed=probed)),
        new_seeds=tuple(range(used + 1, used + 1 + seeds)),
    )


def _best(losses: Mapping[str, float], rivals: Sequence[PlannedTrial]) -> PlannedTrial:
    return min(rivals, key=lambda planned: losses[planned.trial_id])


def _rivals(contest: Bracket) -> list[PlannedTrial]:
    return [trials[0] for trials in contest.contenders.values()]


def _presets(contest: Bracket, *, probed: bool) -> list[PlannedTrial]:
    """Those as the paper has them: all at once, teacher-free, at the usual rate or the probed."""
    return [
        planned
        for planned in _rivals(contest)
        if any(_is_preset(cell, probed=probed) for cell in planned.cells)
    ]


def _is_preset(cell: Cell, *, probed: bool) -> bool:
    request = cell.request
    at_usual_rate = probed or request.peak_lr == "scale"
    as_printed = request.location in LOCATIONS and not request.gap
    return as_printed and request.loss == TEACHER_FREE and at_usual_rate


def winner_again(prepared: PreparedSweep) -> tuple[Cell, ...]:
    """The cells of the winner's new seeds, and controls; none before there is a winner."""
    champion = winner(prepared)
    return () if champion is None else champion.again
