"""A sweep: one question, the axes it varies, and the trial that each cell requests."""

import dataclasses
import functools
import inspect
import itertools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from raydistill.core.errors import UsageError, unknown
from raydistill.planning.axes.axes_of_model import axes_of_model
from raydistill.planning.axes.beside import (
    Beside,
    CellSpace,
    Scales,
    names_setting,
    scales_of,
    settings_apart,
    with_teacher,
)
from raydistill.planning.axes.change import as_run
from raydistill.planning.axes.named_scale import canonical, own_ages
from raydistill.planning.axes.ranges import Range, drawn_points, in_steps
from raydistill.planning.axes.trial_function import (
    check_request,
    check_scale,
    is_own,
    requested,
    requests_named,
)
from raydistill.planning.cell import (
    SIZE,
    START,
    TEACHER,
    Cell,
    Value,
    settle,
    shortest,
    teacher_label,
)
from raydistill.planning.search_settings import SearchSettings, first_of_permutation
from raydistill.specs.recipe import check_setting, settable
from raydistill.specs.scale import Scale, load_scale, with_budget, with_recipe
from raydistill.specs.trial import TrialRequest, age_places

Axes = Mapping[str, Sequence[Value]]

FIELDS = ("location", "count", "gap", "age", "loss", "seed")  # have flags in every sweep
TRAINING_FIELDS = ("budget", "order", "teacher")  # these too
BUDGET = "budget"  # as an axis, that of the scale: an arm may train on a share of it
MOST_CELLS = 10_000
PLACES = 50  # of a random search that are looked at, for each trial

_SETTABLE = frozenset(settable())
_REQUESTED = frozenset(f.name for f in dataclasses.fields(TrialRequest)) - {"settings", "peak_lr"}

_log = logging.getLogger(__name__)
_warn_once = functools.cache(_log.warning)  # a command plans its sweep more than once


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One experiment: every trial of it, before any of them runs.

    `trial(scale, *axes)` returns the request of a cell, or None if the cell is impossible. `at`
    gives a scale its own cells: a union of small grids. Every cell is trained once per seed.
    An axis that is named as a field of the recipe has values of that field's type.
    """

    name: str
    question: str
    axes: Axes
    trial: Callable[..., TrialRequest | None]
    at: Mapping[str, Sequence[Axes]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (1,)  # of the data order
    scale: str = "laptop"  # where neither a flag nor the environment names one
    searching: SearchSettings = field(default_factory=SearchSettings)  # the default

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", self.name):
            raise UsageError(
                f"sweep name {self.name!r}: a small letter, then up to 63 of a-z, 0-9, _ and -"
            )
        takes = list(inspect.signature(self.trial).parameters)
        if takes != ["scale", *self.axes]:
            raise UsageError(
                f"sweep {self.name!r}: its trial function takes {', '.join(takes)}, "
                f"but its axes ask for {', '.join(['scale', *self.axes])}"
            )
        for name in self.at:
            check_scale(name, self.name, is_made=True)
        for grid in (self.axes, *(grid for grids in self.at.values() for grid in grids)):
            self._check_axes(grid)
        for axis in (axis for cell in self.searching.first for axis in cell):
            if axis not in self.axes:
                raise UsageError(f"sweep {self.name!r}: {unknown('sweep axis', axis, self.axes)}")

    def grids(self, scale: Scale, chosen: Axes | None = None) -> list[dict[str, list[Value]]]:
        """The grids whose union is swept at `scale`; `chosen` values replace those of an axis."""
        for name in self.at:
            check_scale(name, self.name)
        chosen = chosen or {}
        grids: list[dict[str, list[Value]]] = []
        name = scale.like or scale.name
        for axes in self.at.get(name) or self.at.get(name.partition("+")[0], (self.axes,)):
            axes = axes_of_model(axes, scale) if scale.brought else axes
            if START in self.axes and not (axes[START] or START in chosen):
                continue  # a grid of starts that the model does not have
            grid = {axis: self._distinct(axis, chosen.get(axis, axes[axis])) for axis in self.axes}
            if "age" in grid:
                more = [] if "age" in chosen else own_ages(grid.get(SIZE, ()))
                grid["age"] = list(age_places(grid["age"] + more))  # type: ignore[arg-type]
            if grid not in grids:
                grids.append(grid)
        return grids

    def cells(
        self,
        scale: Scale,
        chosen: Axes | None = None,
        *,
        sized: Callable[[str], Scale] = load_scale,
        budgeted: Callable[[Scale, int], Scale] = with_budget,
        allow_many: bool = False,
    ) -> tuple[Cell, ...]:
        """The cells at `scale`, in the order of the axes.

        Args:
            scale: converts the paper's numbers.
            chosen: values by name: of an axis, in place of the sweep's own; of any other
                field of a request or a recipe, values that every cell gets: several make it
                an axis. Of a setting that the chosen losses name: it is an axis too.
            sized: loads the scale that a value of the axis `size` names.
            budgeted: gives a scale another budget, in the paper's tokens.
            allow_many: whether there may be more than 10,000.

        Raises:
            UsageError: if an axis is empty or has a value of another type, or there are too many
                cells.
        """
        space = self._space(scale, chosen or {}, sized, budgeted)
        if space.size > MOST_CELLS and not allow_many:
            raise UsageError(f"{space.size:,} cells are more than {MOST_CELLS:,}: add --yes")
        cells: dict[tuple[Value, ...], Cell] = {}
        for point in space.points():
            if cell := self._cell(space, point):
                cells.setdefault((*(point | {"seed": cell.request.seed}).values(),), cell)
        return _in_age_order(tuple(cells.values()))

    def drawn_cells(
        self,
        scale: Scale,
        chosen: Axes,
        ranges: Mapping[str, Range],
        trials: int,
        *,
        sized: Callable[[str], Scale] = load_scale,
        budgeted: Callable[[Scale, int], Scale] = with_budget,
    ) -> tuple[Cell, ...]:
        """So many cells of a random search, some of whose axes are ranges, and their controls.

        Each has a place: the points of the other axes come in an order that the first data seed
        decides, over and over, and the seed and the place decide what is drawn from the ranges. So
        more trials contain the cells of fewer. Location `none`, if it is among others, has no place
        of its own: each cell brings the control that has what it has drawn.

        Raises:
            UsageError: as `cells`.
        """
        ranges = in_steps(ranges, scale)
        low_ends = {name: (of_axis.at(0),) for name, of_axis in ranges.items()}
        space = self._space(scale, {**chosen, **low_ends}, sized, budgeted)
        seed = int(space.seeds[0])
        points = first_of_permutation(list(space.points()), space.size, seed)
        cells: dict[tuple[Value, ...], Cell] = {}
        controls: dict[tuple[Value, ...], Cell] = {}
        for of_place in drawn_points(points, ranges, seed, PLACES * trials):
            for kept, point in zip((cells, controls), of_place, strict=False):
                if (cell := self._cell(space, point)) is None:
                    break
                values = {**cell.values, **{name: point[name] for name in ranges}}
                cell = dataclasses.replace(cell, values=values)
                kept.setdefault((*(point | {"seed": cell.request.seed}).values(),), cell)
            if len(cells) == trials:
                break
        return (*cells.values(), *controls.values())

    def _space(
        self,
        scale: Scale,
        chosen: Axes,
        sized: Callable[[str], Scale],
        budgeted: Callable[[Scale, int], Scale],
    ) -> CellSpace:
        losses = settings_apart(chosen.get("loss", ()), chosen)
        return CellSpace(
            grids=self.grids(scale, chosen),
            beside=Beside(values=self._beside(chosen), losses=losses),
            seeds=self._distinct("seed", chosen.get("seed", self.seeds)),
            scales=scales_of(scale, sized, budgeted),
            count_given="count" in chosen,
        )

    def _cell(self, space: CellSpace, point: Mapping[str, Value]) -> Cell | None:
        """The cell at a point; None where the trial function says that there is none."""
        own = {axis: point[axis] for axis in self.axes}
        more = {name: point[name] for name in space.beside.values}
        with requests_named(self.trial, self.name, own, lambda: not more and self._names_all(own)):
            scale, request = self._requested(space.scales, own, more | {"seed": point["seed"]})
            if request is None:
                return None
            request = settle(request, scale, count_given=space.count_given)
            if is_own(self.trial):
                check_request(request, scale)
        values = space.beside.values_of_cell(own, more)
        values |= as_run(values, request) | teacher_label(values, scale)
        if len(space.seeds) > 1:
            values["seed"] = request.seed
        return Cell(sweep=self.name, scale=scale, values=values, request=request)

    def _requested(
        self, scales: Scales, own: Mapping[str, Value], more: Mapping[str, Value]
    ) -> tuple[Scale, TrialRequest | None]:
        """The scale of a cell, and its request with `more` fields of requests and recipes.

        The trial function sees a scale with that recipe; a trial from scratch has its base's.
        """
        settings = {name: value for name, value in more.items() if name in _SETTABLE}
        fields = {n: value for n, value in more.items() if n not in settings and n != BUDGET}
        key = str(own.get(SIZE, "")), more.get(BUDGET), tuple(settings.items())
        scale, with_settings = scales(*key)
        request = requested(self.trial, self.name, with_teacher(with_settings, own, more), own)
        if request is None:
            return scale, None
        if settings and request.starts_trained:
            request = with_recipe(request, settings)
        return scale, dataclasses.replace(request, **fields)  # type: ignore[arg-type]

    def every_value(self, axis: str) -> tuple[Value, ...]:
        """The values that the sweep itself names for an axis, which `all` stands for."""
        grids = [self.axes, *(grid for grids in self.at.values() for grid in grids)]
        return tuple(dict.fromkeys(value for grid in grids for value in grid.get(axis, ())))

    def _names_all(self, values: Mapping[str, Value]) -> bool:
        """Whether the sweep itself names these values of its axes, not a flag."""
        return all(value in self.every_value(axis) for axis, value in values.items())

    def _beside(self, chosen: Axes) -> dict[str, list[Value]]:
        """The values of all that is no axis of the sweep's own; several make it one."""
        beside = {}
        for name, values in chosen.items():
            if name in self.axes or name == "seed":
                continue
            if name in _SETTABLE or name in _REQUESTED:
                beside[name] = self._distinct(name, values)
            elif not names_setting(name, chosen.get("loss", ())):
                raise UsageError(unknown("axis", name, {*self.axes, *_REQUESTED, *_SETTABLE}))
        return beside

    def _check_axes(self, axes: Axes) -> None:
        for axis in axes:
            if axis not in self.axes:
                raise UsageError(f"sweep {self.name!r}: {unknown('sweep axis', axis, self.axes)}")
        for axis in self.axes:
            self._distinct(axis, axes.get(axis, ()))

    def _distinct(self, axis: str, values: Sequence[Value]) -> list[Value]:
        if isinstance(values, str | int | float):
            raise UsageError(
                f"sweep {self.name!r}: axis {axis!r} is {values!r}, not several values: "
                f"write ({values!r},)"
            )
        if not values:
            raise UsageError(f"sweep {self.name!r}: axis {axis!r} is empty")
        for value in values:
            if not isinstance(value, str | int | float) or value != value:
                raise UsageError(
                    f"sweep {self.name!r}: axis {axis!r} has the value {value!r}: values are text "
                    "or numbers"
                )
        if axis in _SETTABLE:
            values = [shortest(check_setting(axis, value)) for value in values]
        if axis in (SIZE, TEACHER):
            values = [canonical(str(value)) for value in values]
        distinct = list(dict.fromkeys(values))
        if len(distinct) < len(values):
            repeated = [value for value in distinct if list(values).count(value) > 1]
            _warn_once(f"axis {axis!r} repeats {', '.join(map(str, repeated))}: taken once")
        return distinct


def _in_age_order(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Cells of several grids, the youngest base first, where those of each age stand together."""
    ages = [cell.request.age for cell in cells]
    places = age_places(ages)
    if sum(1 for _ in itertools.groupby(ages)) > len(places):
        return cells
    return tuple(sorted(cells, key=lambda cell: places[cell.request.age]))
