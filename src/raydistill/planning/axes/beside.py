"""What flags vary beside the axes of a sweep's own, and the scale of each of their values."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from raydistill.distillation.loss_name import canonical_loss, loss_settings, loss_words
from raydistill.planning.axes.named_checkpoint import teacher_scale, teaching_checkpoint
from raydistill.planning.cell import (
    TEACHER,
    BaseRequest,
    Value,
    shortest,
    teacher_named,
)
from raydistill.pruning.cut_shape import is_larger
from raydistill.specs.flops import equal_flops_share
from raydistill.specs.locations import NONE
from raydistill.specs.model import Model
from raydistill.specs.scale import Scale, with_heal
from raydistill.specs.trial import OWN

Scales = Callable[[str, Value | None, tuple[tuple[str, Value], ...]], tuple[Scale, Scale]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaughtScale(Scale):
    """A scale as a trial function sees it whose students another model teaches."""

    teacher: Model

    def kd_share(self, count: int) -> float:
        """The share of the budget at which KD from that model costs as much as teacher-free."""
        return equal_flops_share(self.model, count, self.teacher)


def fits_into_teacher(scale: Scale) -> bool:
    """Whether a trial function sees a teacher of the scale that is smaller in no dimension."""
    return isinstance(scale, TaughtScale) and not is_larger(scale.model, scale.teacher)


def scales_of(
    scale: Scale, sized: Callable[[str], Scale], budgeted: Callable[[Scale, int], Scale]
) -> Scales:
    """Gives the scale of a size and a budget, and the same with settings of its recipe."""

    @functools.cache
    def scales(
        size: str, budget: Value | None, settings: tuple[tuple[str, Value], ...]
    ) -> tuple[Scale, Scale]:
        own = sized(size) if size else scale
        own = own if budget is None else budgeted(own, int(budget))
        return own, with_heal(own, dict(settings)) if settings else own

    return scales


def with_teacher(scale: Scale, own: Mapping[str, Value], more: Mapping[str, Value]) -> Scale:
    """The scale as a trial function sees it, whose equal FLOPs are those with its teacher.

    Args:
        scale: of the student.
        own: values of the sweep's own axes; a teacher among them is any, or `none`.
        more: of what flags name beside them; a teacher among them is a checkpoint, else not heeded.
    """
    if (name := str(own.get(TEACHER, NONE))) != NONE:
        teacher = teacher_named(name, BaseRequest(scale=scale, age=scale.ages[-1]))
        return _taught_by(scale, teacher.scale.model)
    named = teaching_checkpoint(str(more.get(TEACHER, OWN)), scale.ages, scale.models)
    return _taught_by(scale, teacher_scale(named, scale).model) if named else scale


def _taught_by(scale: Scale, teacher: Model) -> Scale:
    """The scale as a trial function sees it whose students `teacher` teaches."""
    of_scale = {field.name: getattr(scale, field.name) for field in fields(Scale)}
    return TaughtScale(**of_scale, teacher=teacher)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What flags name that is no axis of the sweep's own.

    `losses` gives each loss with settings that are axes its name without them, and these.
    """

    values: Mapping[str, Sequence[Value]]
    losses: Mapping[str, tuple[str, Mapping[str, Value]]]

    @functools.cached_property
    def axes(self) -> tuple[str, ...]:
        """Those with several values, which make them axes; not a loss whose settings say all."""
        is_one_loss = len({rest for rest, _ in self.losses.values()}) == 1
        return tuple(
            name
            for name, values in self.values.items()
            if len(values) > 1 and not (name == "loss" and is_one_loss)
        )

    def values_of_cell(
        self, own: Mapping[str, Value], more: Mapping[str, Value]
    ) -> dict[str, Value]:
        """The values of a cell by the name of each axis."""
        values = {**own, **{name: more[name] for name in self.axes}}
        if self.losses:
            rest, settings = self.losses[str(own.get("loss") or more["loss"])]
            values |= {"loss": rest} if "loss" in values else {}
            values |= settings
        return values


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSpace:
    """What the cells of a sweep at a scale are made from."""

    grids: Sequence[Mapping[str, Sequence[Value]]]  # of the sweep's own axes
    beside: Beside
    seeds: Sequence[Value]
    scales: Scales
    count_given: bool

    @property
    def size(self) -> int:
        """How many points there are, those of several grids as often."""
        each_grid = len(self.seeds) * math.prod(map(len, self.beside.values.values()))
        return each_grid * sum(math.prod(map(len, grid.values())) for grid in self.grids)

    def points(self) -> Iterator[dict[str, Value]]:
        """The values of every axis, of what flags name beside them, and the seed."""
        for grid in self.grids:
            axes = {**grid, **self.beside.values, "seed": self.seeds}
            for values in itertools.product(*axes.values()):
                yield dict(zip(axes, values, strict=True))


def settings_apart(
    losses: Sequence[Value], names: Iterable[str]
) -> dict[str, tuple[str, dict[str, Value]]]:
    """Of each loss its name without those of its settings that are `names`, and these."""
    own = [name for name in names if names_setting(name, losses)]
    parts = {}
    for loss in map(str, losses if own else ()):
        settings = loss_settings(loss)[1]
        others = [part for part in loss_words(loss) if part.partition("=")[0] not in own]
        of_own = {key: shortest(settings[key]) for key in own if key in settings}
        parts[loss] = canonical_loss("+".join(others)), of_own
    return parts


def names_setting(name: str, losses: Sequence[Value]) -> bool:
    """Whether a setting that some of the losses carry is called so."""
    return any(name in loss_settings(str(loss))[1] for loss in losses)
