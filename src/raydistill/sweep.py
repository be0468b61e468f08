"""A sweep: one question, the axes it varies, and the trial asked for at each cell."""

import dataclasses
import inspect
import itertools
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from raydistill.errors import UsageError, unknown
from raydistill.locations import NONE, is_list, listed
from raydistill.parts import part_names
from raydistill.scales import Scale, scale_names
from raydistill.spec import TrialRequest
from raydistill.units import format_tokens

Value = str | int | float
Axes = Mapping[str, Sequence[Value]]

FIELDS = ("location", "count", "gap", "age", "loss")
"""What has a flag of its own in every sweep, varied or not."""

_TOKEN_FIELDS = ("age", "gap", "budget")

MOST_CELLS = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One combination of axis values, and the trial it asks for."""

    sweep: str
    values: Mapping[str, Value]
    request: TrialRequest


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Every trial of one experiment, before any of them runs.

    `trial(scale, *axes)` returns the request of a cell, or None for one that cannot be. `at`
    gives a scale its own cells: a union of small grids.
    """

    name: str
    question: str
    axes: Axes
    trial: Callable[..., TrialRequest | None]
    at: Mapping[str, Sequence[Axes]] = field(default_factory=dict)

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
        for name, grids in self.at.items():
            if name not in scale_names():
                raise UsageError(f"sweep {self.name!r}: {unknown('scale', name, scale_names())}")
            for grid in grids:
                self._check_axes(grid)
        self._check_axes(self.axes)

    def grids(self, scale: Scale, chosen: Axes | None = None) -> list[dict[str, list[Value]]]:
        """The grids whose union is swept at `scale`; `chosen` values stand in for an axis."""
        chosen = chosen or {}
        grids: list[dict[str, list[Value]]] = []
        for axes in self.at.get(scale.name, (self.axes,)):
            grid = {axis: self._distinct(axis, chosen.get(axis, axes[axis])) for axis in self.axes}
            if grid not in grids:
                grids.append(grid)
        return grids

    def cells(
        self, scale: Scale, chosen: Axes | None = None, *, allow_many: bool = False
    ) -> tuple[Cell, ...]:
        """The cells at `scale`, in the order of the axes.

        Args:
            scale: converts the paper's numbers.
            chosen: values by name: of an axis, in place of the sweep's own; of any other
                field of a request, the one value that every cell gets.
            allow_many: whether there may be more than 10,000.

        Raises:
            UsageError: if an axis is empty, a field has two values, or there are too many cells.
        """
        chosen = chosen or {}
        fixed = self._fixed(chosen)
        grids = self.grids(scale, chosen)
        size = sum(math.prod(len(values) for values in grid.values()) for grid in grids)
        if size > MOST_CELLS and not allow_many:
            raise UsageError(f"{size:,} cells are more than {MOST_CELLS:,}: add --yes")
        found: dict[tuple[Value, ...], Cell] = {}
        for grid in grids:
            for point in itertools.product(*grid.values()):
                values = dict(zip(grid, point, strict=True))
                request = self.trial(scale, **values)
                if request is not None and point not in found:
                    request = dataclasses.replace(request, **fixed)  # type: ignore[arg-type]
                    settled = settle(request, scale, count_given="count" in chosen)
                    found[point] = Cell(sweep=self.name, values=values, request=settled)
        return tuple(found.values())

    def _fixed(self, chosen: Axes) -> dict[str, Value]:
        """Fields that are no axis and so have one value in every cell."""
        names = [f.name for f in dataclasses.fields(TrialRequest)]
        fixed: dict[str, Value] = {}
        for name, values in chosen.items():
            if name in self.axes:
                continue
            if name not in names:
                raise UsageError(unknown("sweep axis", name, {*self.axes, *names}))
            if len(values) != 1:
                raise UsageError(
                    f"{name} has {len(values)} values, but is no axis of {self.name!r} "
                    f"({', '.join(self.axes)}): give one"
                )
            fixed[name] = values[0]
        return fixed

    def _check_axes(self, axes: Axes) -> None:
        for axis in axes:
            if axis not in self.axes:
                raise UsageError(f"sweep {self.name!r}: {unknown('sweep axis', axis, self.axes)}")
        for axis in self.axes:
            self._distinct(axis, axes.get(axis, ()))

    def _distinct(self, axis: str, values: Sequence[Value]) -> list[Value]:
        if not values:
            raise UsageError(f"sweep {self.name!r}: axis {axis!r} is empty")
        distinct = list(dict.fromkeys(values))
        if len(distinct) < len(values):
            repeated = [value for value in distinct if list(values).count(value) > 1]
            _log.warning("axis %r repeats %s: taken once", axis, ", ".join(map(str, repeated)))
        return distinct


def settle(request: TrialRequest, scale: Scale, *, count_given: bool) -> TrialRequest:
    """The request with what its location decides: `none` removes nothing, a list its own count.

    Raises:
        UsageError: if a count was given that is not that of the list, or the loss is unknown.
    """
    losses = part_names("raydistill.losses")
    if request.loss not in losses:
        raise UsageError(unknown("loss", request.loss, losses))
    if request.location == NONE:
        return dataclasses.replace(request, count=0, gap=0)
    if not is_list(request.location):
        return request
    layers = listed(request.location, scale.model.num_layers, allow_ends=request.allow_ends)
    if count_given and request.count != len(layers):
        raise UsageError(
            f"count {request.count} and location {request.location!r}, "
            f"which lists {len(layers)} layers: leave one of them out"
        )
    return dataclasses.replace(request, count=len(layers))


def shown(name: str, value: Value) -> str:
    """A value of a request as people write it: token counts with K, M or B.

    >>> shown("age", 80_000_000_000), shown("count", 4), shown("gap", 0)
    ('80B', '4', '0')
    """
    if name in _TOKEN_FIELDS and isinstance(value, int):
        return format_tokens(value)
    return str(value)


def by_age(cells: Sequence[Cell]) -> Iterator[int]:
    """The ages that cells start from, each once, youngest first."""
    yield from sorted({cell.request.age for cell in cells})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a sweep is run. Nothing here changes what a trial's weights become."""

    storage: Path  # absolute
    tracking_uri: str
    search: str  # grid | random | tpe
    trials: int  # how many of the cells
    seed: int
    devices_per_trial: int
    concurrent: int | Literal["auto"]  # auto: what the cluster can grow to
    command: str  # that started it
    debug: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """All that a runner needs: the cells that were asked for, and how to run them."""

    sweep: Sweep
    scale: Scale
    cells: tuple[Cell, ...]
    options: Options
