"""The values that a sweep's flags name: of its axes, of other fields, and ranges to draw from."""

import argparse
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from raydistill.cli.arguments.values import axis_range, axis_values, items, loss_values
from raydistill.core.errors import UsageError
from raydistill.distillation.loss_name import loss_settings
from raydistill.distillation.teacher_placement import excerpt_of
from raydistill.planning.axes.change import CHANGE, POINT
from raydistill.planning.axes.ranges import Range
from raydistill.planning.cell import Cell, Value, axes_of, shortest
from raydistill.planning.sweep import FIELDS, TRAINING_FIELDS, Sweep
from raydistill.specs.locations import NONE
from raydistill.specs.recipe import axis_name, field_named, is_setting
from raydistill.specs.scale import Scale
from raydistill.specs.trial import TrialRequest

_log = logging.getLogger(__name__)

_TRAINING = "loss", "set", "budget"  # flags that say how a trial trains


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenValues:
    """What flags say of the cells of a sweep, by axis or field.

    `settings` are those of the recipe that all cells have; `ranges` are what a search draws from.
    """

    values: Mapping[str, tuple[Value, ...]]
    settings: Mapping[str, Value]
    ranges: Mapping[str, Range]


def chosen_values(sweep: Sweep, flags: argparse.Namespace) -> ChosenValues:
    """The values that the flags name.

    Raises:
        UsageError: if one is not of the type of its axis.
    """
    values: dict[str, tuple[Value, ...]] = {}
    settings: dict[str, Value] = {}
    ranges: dict[str, Range] = {}
    for name, texts in _texts(sweep, flags).items():
        if (of_axis := axis_range(name, texts, sweep.every_value(name))) is not None:
            ranges[name] = of_axis
            continue
        named = _values(name, texts, sweep, flags)
        if len(set(named)) == 1 and is_setting(name) and name not in sweep.axes:
            settings[name] = named[0]
        elif named:
            values[name] = named
    values |= _settings_apart(flags, sweep)
    if excerpt := excerpt_of(flags.teacher_placement):
        values["excerpt"] = (excerpt,)
    values |= {"allow_ends": (True,)} if flags.allow_ends else {}
    return ChosenValues(values=values, settings=settings, ranges=ranges)


def _texts(sweep: Sweep, flags: argparse.Namespace) -> dict[str, list[str]]:
    """What the flags say of each field or axis; of an ablation `--set` says what is changed.

    Raises:
        UsageError: if a name is unknown, or a point is given several values of a field.
    """
    names = dict.fromkeys((*FIELDS, *TRAINING_FIELDS, *sweep.axes))
    texts = {name: list(getattr(flags, name) or ()) for name in names}
    for name, text in ((name, text) for name, of_name in texts.items() for text in of_name):
        _check_written("--", name, text, sweep)
    for name, text in flags.set:
        _check_written("--set ", name, text, sweep)
    if CHANGE not in sweep.axes:
        for name, text in flags.set:
            texts.setdefault(_axis(name, sweep), []).append(text)
        return texts
    changes = _changes(flags.set)
    texts[CHANGE] += changes[POINT in items(CHANGE, texts[CHANGE]) :]
    given: set[str] = set()
    for name, text in itertools.chain(*flags.around):
        field = name if name in names else _axis(name, sweep)
        if len(items(name, [text])) > 1 or field in given:
            raise UsageError(f"--around {name}={text}: a point has one value of each field")
        given.add(field)
        _check_written("--around ", name, text, sweep)
        texts.setdefault(field, []).append(text)
    return texts


def _check_written(flag: str, name: str, text: str, sweep: Sweep) -> None:
    """Refuse values that a field of the recipe can never have, as they are written.

    Raises:
        UsageError: for any.
    """
    if not is_setting(name) or (text == "all" and _axis(name, sweep) in sweep.axes):
        return
    try:
        if axis_range(name, [text]) is None:
            axis_values(name, [text])
    except UsageError as error:
        if str(error).startswith(f"{name}="):
            raise UsageError(f"{flag}{error}") from None
        raise


def _changes(assignments: Iterable[tuple[str, str]]) -> list[str]:
    """The values of an ablation's axis: the point itself, and each value of `--set`."""
    changes = [f"{name}={value}" for name, text in assignments for value in items(name, [text])]
    return [POINT, *changes] if changes else []


def _values(
    name: str, texts: list[str], sweep: Sweep, flags: argparse.Namespace
) -> tuple[Value, ...]:
    own = sweep.every_value(name)
    if texts == ["all"] and own and name != "location":
        return own
    if name in ("loss", "arm"):  # an arm may be a loss
        return loss_values(texts)[0]
    return axis_values(
        name, texts, revisions=flags.model is not None or bool(flags.models), own=own
    )


def _settings_apart(
    flags: argparse.Namespace, sweep: Sweep
) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """The settings of losses that have several values, which are axes of their own."""
    requested = {field.name for field in fields(TrialRequest)}
    losses, names = loss_values(flags.loss or ())
    for name in names:
        if name not in requested and name not in sweep.axes and not is_setting(name):
            of_losses = [loss_settings(loss)[1] for loss in losses]
            yield name, tuple(settings[name] for settings in of_losses if name in settings)


def _axis(name: str, sweep: Sweep) -> str:
    """The axis that `--set` means: one of the sweep's own, else a field of the recipe.

    Raises:
        UsageError: if there is none of that name.
    """
    if name in sweep.axes:
        return name
    if name in (*FIELDS, *TRAINING_FIELDS):
        raise UsageError(f"--set {name}: that is a flag of its own, --{name}")
    field = field_named(name)
    return field if field in sweep.axes else axis_name(field)


def check_overruled(settings: Mapping[str, Value], sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Say which settings of the flags no trial has, since the sweep itself sets them.

    Raises:
        UsageError: if several values of one would be names of the same training.
    """
    axes = [n for n in axes_of((), cells) if is_setting(n) and n not in sweep.axes]
    if not (settings or axes):
        return
    trained = [c for c in cells if c.request.starts_trained and c.request.budget]
    recipes = [cell.scale.recipe(cell.request) for cell in trained]
    for name, value in settings.items():
        _warn(name, value, [getattr(recipe, field_named(name)) for recipe in recipes])
    for name in axes:
        owns = [getattr(recipe, field_named(name)) for recipe in recipes]
        of_cells = list(zip(trained, owns, strict=True))
        _refuse_one_training(
            name, [(cell, own) for cell, own in of_cells if own != _of(cell, name)]
        )
        for value in dict.fromkeys(_of(cell, name) for cell in trained):
            _warn(name, value, [own for cell, own in of_cells if _of(cell, name) == value])


def _of(cell: Cell, axis: str) -> Value:
    return cell.values[axis]


def _warn(name: str, value: Value, owns: Sequence[Value]) -> None:
    if owns and value not in owns:
        texts = ", ".join(str(shortest(own)) for own in sorted(set(owns), key=str))
        _log.warning("no trial has %s %s: the sweep itself sets %s", name, value, texts)


def _refuse_one_training(axis: str, overruled: Iterable[tuple[Cell, Value]]) -> None:
    """Refuse an axis if cells that differ in it alone have a value that the sweep sets itself."""
    first: dict[object, Value] = {}
    for cell, own in overruled:
        others = frozenset((name, value) for name, value in cell.values.items() if name != axis)
        value = _of(cell, axis)
        if (other := first.setdefault((cell.request, others), value)) != value:
            raise UsageError(
                f"{axis} {other} and {value} would be one training, at {shortest(own)}: the "
                f"sweep itself sets {axis}; let its trial function take it from scale.heal"
            )


def check_ages(ages: Iterable[Value], scales: Iterable[Scale], cells: Iterable[Cell]) -> None:
    """Refuse an age that the flags name and no scale of the plan has.

    A sweep over sizes leaves out a cell whose size lacks the age.

    Args:
        ages: that the flags name.
        scales: of the sizes that they name, or of the sweep.
        cells: of the plan; none where nothing was left.

    Raises:
        UsageError: with the ages that there are.
    """
    planned = {cell.request.age for cell in cells}
    sizes = {scale.name: scale for scale in scales}
    for age in ages:
        if age not in planned and sizes and not any(age in of.ages for of in sizes.values()):
            longest = max(sizes.values(), key=lambda of: len(of.ages))
            longest.age_tokens(age if isinstance(age, str) else int(age))


def check_training_flags(
    flags: argparse.Namespace, budgets: Iterable[Value], cells: Sequence[Cell]
) -> None:
    """Refuse flags of a trial's training where every cell is a base as it is.

    A budget of 0 says that nothing is trained, so it is none of them.

    Raises:
        UsageError: naming the flag, and what says how bases are pretrained.
    """
    given = [name for name in _TRAINING if getattr(flags, name)]
    if not given or 0 in budgets or not all(map(_is_base, cells)):
        return
    own = cells[0].scale.name.partition("+")[0]
    raise UsageError(
        f"--{given[0]} is of training after a base's pretraining, and every cell here is a base "
        f"as it is: leave it out. How bases are pretrained, --size says: {own}+lr=0.002, "
        f"{own}+schedule=cosine, {own}+tokens=N"
    )


def _is_base(cell: Cell) -> bool:
    request = cell.request
    return request.location == NONE and not (request.count or request.budget)
