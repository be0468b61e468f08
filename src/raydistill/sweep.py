"""A sweep: one question, the axes it varies, and the trial asked for at each cell."""

import dataclasses
import inspect
import itertools
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from raydistill.errors import UsageError, unknown
from raydistill.locations import NONE, is_list, listed
from raydistill.objective import canonical_loss, has_teacher
from raydistill.scales import Scale, load_scale, scale_names, with_text_of
from raydistill.search import Searching
from raydistill.spec import OWN, SCRATCH_WITH_AGE, TEACHER_FREE, Age, NoTeacher, TrialRequest
from raydistill.units import format_age, format_tokens, parse_tokens

BaseKey = tuple[str, Age]
"""A base of a sweep: the name of its scale, and its age in the paper's tokens, or its revision."""

Value = str | int | float
Axes = Mapping[str, Sequence[Value]]

FIELDS = ("location", "count", "gap", "age", "loss", "seed")
"""What has a flag of its own in every sweep, varied or not."""

SIZE = "size"
"""An axis that names scales: each of its cells belongs to the scale of that name."""

REFERENCE = "reference"
"""What names a cell that is a model of its own, evaluated only (METHOD 7)."""

ADDED = "added"
"""What names a cell that is a student trained elsewhere, evaluated only (`raydistill add`)."""

_TOKEN_FIELDS = ("age", "gap", "budget")
_FIRST_IN_NAMES = ("arm", REFERENCE, "location")

MOST_CELLS = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One combination of axis values, and the trial it asks for."""

    sweep: str
    scale: Scale
    values: Mapping[str, Value]
    request: TrialRequest

    @property
    def base(self) -> "BaseRequest":
        """Where the trial starts, or what it is compared with if it starts from scratch."""
        return BaseRequest(scale=self.scale, age=self.request.age)

    @property
    def teacher(self) -> "BaseRequest | NoTeacher":
        """Whom the trial's loss asks."""
        if not has_teacher(self.request.loss):
            return NoTeacher()
        return teacher_named(self.request.teacher, self.base)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRequest:
    """A base as it is asked for: of a scale, at an age in the paper's tokens, or a revision."""

    scale: Scale
    age: Age

    @property
    def key(self) -> BaseKey:
        """What tells bases of one sweep apart."""
        return self.scale.name, self.age

    @property
    def name(self) -> str:
        """`SCALE@AGE`, which `base_named` reads."""
        return f"{self.scale.name}@{format_age(self.age)}"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Every trial of one experiment, before any of them runs.

    `trial(scale, *axes)` returns the request of a cell, or None for one that cannot be. `at`
    gives a scale its own cells: a union of small grids. Every cell is trained once per seed.
    """

    name: str
    question: str
    axes: Axes
    trial: Callable[..., TrialRequest | None]
    at: Mapping[str, Sequence[Axes]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (1,)  # of the data order
    searching: Searching = field(
        default_factory=Searching
    )  # unless the command line says otherwise

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
        for axis in (axis for cell in self.searching.first for axis in cell):
            if axis not in self.axes:
                raise UsageError(f"sweep {self.name!r}: {unknown('sweep axis', axis, self.axes)}")

    def grids(self, scale: Scale, chosen: Axes | None = None) -> list[dict[str, list[Value]]]:
        """The grids whose union is swept at `scale`; `chosen` values stand in for an axis."""
        chosen = chosen or {}
        grids: list[dict[str, list[Value]]] = []
        for axes in self.at.get(scale.like or scale.name, (self.axes,)):
            axes = _of_model(axes, scale) if scale.brought else axes
            grid = {axis: self._distinct(axis, chosen.get(axis, axes[axis])) for axis in self.axes}
            if grid not in grids:
                grids.append(grid)
        return grids

    def cells(
        self,
        scale: Scale,
        chosen: Axes | None = None,
        *,
        sized: Callable[[str], Scale] = load_scale,
        allow_many: bool = False,
    ) -> tuple[Cell, ...]:
        """The cells at `scale`, in the order of the axes.

        Args:
            scale: converts the paper's numbers.
            chosen: values by name: of an axis, in place of the sweep's own; of any other
                field of a request, the one value that every cell gets, but for seeds.
            sized: the scale that a value of the axis `size` names.
            allow_many: whether there may be more than 10,000.

        Raises:
            UsageError: if an axis is empty, a field has two values, or there are too many cells.
        """
        chosen = chosen or {}
        seeds = self._distinct("seed", chosen.get("seed", self.seeds))
        fixed = self._fixed({name: values for name, values in chosen.items() if name != "seed"})
        grids = self.grids(scale, chosen)
        size = len(seeds) * sum(math.prod(len(values) for values in g.values()) for g in grids)
        if size > MOST_CELLS and not allow_many:
            raise UsageError(f"{size:,} cells are more than {MOST_CELLS:,}: add --yes")
        found: dict[tuple[Value, ...], Cell] = {}
        for grid in grids:
            for *point, seed in itertools.product(*grid.values(), seeds):
                values = dict(zip(grid, point, strict=True))
                of_size = sized(str(values[SIZE])) if SIZE in values else scale
                request = self.trial(of_size, **values)
                if request is None:
                    continue
                request = dataclasses.replace(request, **fixed, seed=seed)  # type: ignore[arg-type]
                settled = settle(request, of_size, count_given="count" in chosen)
                if len(seeds) > 1:
                    values["seed"] = settled.seed
                cell = Cell(sweep=self.name, scale=of_size, values=values, request=settled)
                found.setdefault((*point, settled.seed), cell)
        return tuple(found.values())

    def every_value(self, axis: str) -> tuple[Value, ...]:
        """What `all` stands for: the values that the sweep itself names for an axis."""
        grids = [self.axes, *(grid for grids in self.at.values() for grid in grids)]
        return tuple(dict.fromkeys(value for grid in grids for value in grid.get(axis, ())))

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


def _of_model(axes: Axes, scale: Scale) -> Axes:
    """The axes of a model that somebody brought: its own ages, its size, counts that it has."""
    possible = [c for c in axes.get("count", ()) if int(c) <= scale.model.num_layers - 2]
    return {**axes, "age": scale.ages, SIZE: (scale.name,), "count": possible}


def settle(request: TrialRequest, scale: Scale, *, count_given: bool) -> TrialRequest:
    """The request with what its location decides: `none` removes nothing, a list its own count.

    Nothing is drawn for a budget of 0, so its seed and loss do not matter. What is trained as long
    as a base is trained once, as bases are.

    Raises:
        UsageError: if a count was given that is not that of the list, the loss is unknown, or its
            teacher is no base.
    """
    request = dataclasses.replace(request, loss=canonical_loss(request.loss))
    if request.budget == 0:
        request = dataclasses.replace(request, seed=1, loss=TEACHER_FREE)
    if request.start == SCRATCH_WITH_AGE:
        request = dataclasses.replace(request, seed=1)
    if not has_teacher(request.loss):
        request = dataclasses.replace(request, teacher=OWN, excerpt="")
    else:
        teacher_named(request.teacher, BaseRequest(scale=scale, age=request.age))
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


def cell_name(location: str, values: Mapping[str, Value]) -> str:
    """What a cell is called: its arm, reference or location, and every other value.

    >>> cell_name("input", {"location": "input", "age": 320_000_000_000, "count": 4})
    'input, age 320B, count 4'
    """
    first = values.get("arm") or values.get(REFERENCE) or location
    others = [(axis, value) for axis, value in values.items() if axis not in _FIRST_IN_NAMES]
    return ", ".join([str(first), *(axis_text(axis, value) for axis, value in others)])


def axis_text(axis: str, value: Value) -> str:
    """`gap 100M`: an axis with its value, in the name of a cell."""
    return f"{axis} {format_tokens(value) if isinstance(value, int) else value}"


def teacher_named(name: str, own: BaseRequest) -> BaseRequest:
    """The base that `--teacher` means: `own`, an age of this scale, or `SCALE@AGE`.

    Raises:
        UsageError: if there is no such base, or it reads its text with another tokenizer.
    """
    if name == OWN:
        return own
    if own.scale.brought:
        own.scale.age_tokens(name)  # refuses a revision that is not there
        return BaseRequest(scale=own.scale, age=name)

    def alike(scale: str) -> Scale:
        is_own = scale.replace("-", "_") == own.scale.name
        return own.scale if is_own else reading_alike(scale, own.scale, f"teacher {name!r}")

    if not re.fullmatch(r"(.*@)?\d+(\.\d+)?[KMB]?", name):
        raise UsageError(f"no teacher {name!r}: write own, an age such as 80B, or SCALE@AGE")
    return base_named(name if "@" in name else f"{own.scale.name}@{name}", alike)


def base_named(name: str, load: Callable[[str], Scale] = load_scale) -> BaseRequest:
    """The base that `SCALE@AGE` means, or a scale alone: then its oldest.

    Raises:
        UsageError: if there is no such scale, or it has no such age.
    """
    of_scale, _, age = name.partition("@")
    scale = load(of_scale)
    base = BaseRequest(scale=scale, age=parse_tokens(age) if age else scale.ages[-1])
    scale.age_tokens(base.age)  # refuses an age that the scale does not have
    return base


def reading_alike(name: str, own: Scale, what: str) -> Scale:
    """The scale of that name, on the text of `own`.

    Raises:
        UsageError: if there is no such scale, or it reads its text with another tokenizer.
    """
    scale = load_scale(name)
    if scale.corpus != load_scale(own.name).corpus:
        raise UsageError(
            f"{what} has another tokenizer: scale {scale.name!r} reads {scale.corpus!r}, "
            f"the student's {own.corpus!r}"
        )
    return with_text_of(scale, own)


def bases_of(cells: Sequence[Cell], *, teachers: bool = False) -> tuple[BaseRequest, ...]:
    """The bases that cells start from, each once, by scale and the youngest first."""
    asked = [cell.base for cell in cells]
    if teachers:
        asked += [cell.teacher for cell in cells if not isinstance(cell.teacher, NoTeacher)]
    by_key = {base.key: base for base in asked}
    scales = list(dict.fromkeys(name for name, _ in by_key))

    def place(key: BaseKey) -> tuple[int, int]:
        age, ages = key[1], by_key[key].scale.ages
        return scales.index(key[0]), age if isinstance(age, int) else ages.index(age)

    return tuple(by_key[key] for key in sorted(by_key, key=place))


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a sweep is run. Nothing here changes what a trial's weights become."""

    storage: Path  # absolute
    tracking_uri: str
    search: str  # one of `search.SEARCHES`
    trials: int  # how many of the cells; of a funnel, how many layer sets to the end
    objectives: tuple[str, ...]  # of a search by Optuna, of `search.OBJECTIVES`
    seed: int
    device_counts: range  # that one trial may train on; several only if it is elastic
    concurrent: int | Literal["auto"]  # auto: what the cluster can grow to
    teacher_placement: str  # one of `placement.PLACEMENTS`
    cache_gb: float  # that cached teachers may take in the storage
    checkpoint_every_s: float  # 0 is after every step
    anew: bool  # train also what the package carries trained
    command: str  # that started it
    debug: bool = False
    probe: bool = False  # what it will take was measured first
    lr_probe: bool = False  # each arm trains at the best of three peaks
    price_per_hour: float | Literal["unknown"] = "unknown"  # of one device
    task_data: Path | None = None  # where tasks lie that are not made of the corpus


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """All that a runner needs: the cells that were asked for, and how to run them."""

    sweep: Sweep
    scale: Scale
    cells: tuple[Cell, ...]
    options: Options
