"""A cell of a sweep: axis values, and the trial that they request."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError
from raydistill.core.field_types import check_fields
from raydistill.core.units import format_age, format_tokens, parse_tokens
from raydistill.distillation.loss_name import has_teacher, without_defaults
from raydistill.distillation.teacher_placement import CACHED, check_placement
from raydistill.distillation.teacher_shape import check_shape, check_targets
from raydistill.planning.axes.named_checkpoint import (
    BASE_NAME,
    check_ids,
    local_tokenizer,
    teacher_scale,
    teaching_checkpoint,
)
from raydistill.planning.axes.named_scale import canonical
from raydistill.pruning.cut_shape import check_start
from raydistill.specs.locations import NONE, is_list, listed
from raydistill.specs.scale import Scale, load_scale, with_text_of
from raydistill.specs.trial import (
    OWN,
    SCRATCH_WITH_AGE,
    Age,
    NoTeacher,
    TrialRequest,
    age_places,
)

# a base of a sweep: the name of its scale, and its age in the paper's tokens, or its revision
BaseKey = tuple[str, Age]
Value = str | int | float

SIZE = "size"  # an axis that names scales: each of its cells belongs to the scale of that name
TEACHER = "teacher"  # the axis of what a loss is taught by
START = "start"  # the axis of where a student begins
REFERENCE = "reference"  # the axis of a model that is evaluated only (METHOD 7)
ADDED = "added"  # that of a student trained elsewhere, evaluated only (`raydistill add`)


def name_beside(values: Mapping[str, Value]) -> str:
    """The name of a cell that no sweep trains: of a reference, or a student trained elsewhere."""
    return str(values.get(ADDED) or values.get(REFERENCE) or "")


def compares_teachers(values: Mapping[str, Value]) -> bool:
    """Whether a cell is of a sweep that varies the teacher and not what is removed (METHOD 8)."""
    return TEACHER in values and not {"location", "count", "arm"} & values.keys()


def compares_shapes(values: Mapping[str, Value]) -> bool:
    """Whether a cell is of a sweep over bases as they are, by size and age (METHOD 9)."""
    others = {"location", "count", "arm", "loss", TEACHER, START, REFERENCE, ADDED}
    return {SIZE, "age"} <= values.keys() and not others & values.keys()


_FIRST_IN_NAMES = ("arm", REFERENCE, "location")
_TOKEN_FIELDS = ("age", "gap", "budget")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One combination of axis values, and the trial it requests."""

    sweep: str
    scale: Scale
    values: Mapping[str, Value]
    request: TrialRequest

    @property
    def base(self) -> "BaseRequest":
        """The base that the trial starts from, or is compared with if it starts from scratch."""
        return BaseRequest(scale=self.scale, age=self.request.age)

    @property
    def teacher(self) -> "BaseRequest | NoTeacher":
        """The teacher of the trial's loss, if it has one."""
        if not has_teacher(self.request.loss):
            return NoTeacher()
        return teacher_named(self.request.teacher, self.base)

    @property
    def teacher_beside(self) -> "BaseRequest | NoTeacher":
        """The teacher, if it is another model than the trial's base."""
        teacher = self.teacher
        if isinstance(teacher, NoTeacher) or teacher.scale.name == self.scale.name:
            return NoTeacher()
        return teacher


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRequest:
    """A base by its scale, and its age in the paper's tokens, or a revision."""

    scale: Scale
    age: Age

    @property
    def key(self) -> BaseKey:
        """Scale name and age, which identify a base of a sweep."""
        return self.scale.name, self.age

    @property
    def name(self) -> str:
        """`SCALE@AGE`, which `base_named` reads."""
        return f"{self.scale.name}@{format_age(self.age)}"


def settle(request: TrialRequest, scale: Scale, *, count_given: bool) -> TrialRequest:
    """The request in canonical form, so that requests for the same work are equal.

    Location `none` removes nothing, and a list sets the count. A budget of 0 draws no data and
    takes no step, so its seed, loss, gap and recipe are fixed. `scratch-with-age` is trained
    with one seed, as bases are.

    Raises:
        UsageError: if a field has a value of another type, a count was given that is not that of
            the list, the loss is unknown, or its teacher is no base.
    """
    check_fields(request)
    request = dataclasses.replace(request, loss=without_defaults(request.loss))
    if request.budget == 0:
        request = dataclasses.replace(
            request, seed=1, loss=scale.objective, gap=0, peak_lr="scale", settings=()
        )
    else:
        check_targets(request.loss, scale.model, scale.objective, scale.evaluation)
    if request.start == SCRATCH_WITH_AGE:
        request = dataclasses.replace(request, seed=1)
    if not has_teacher(request.loss):
        request = dataclasses.replace(request, teacher=OWN, excerpt="")
    else:
        named = teaching_checkpoint(request.teacher, scale.ages, scale.models)
        text = named.text if named else canonical(request.teacher)
        request = dataclasses.replace(request, teacher=text)
        teacher = teacher_named(request.teacher, BaseRequest(scale=scale, age=request.age))
        check_shape(request.loss, scale.model, teacher.scale.model, teacher.name)
        check_start(request.start, scale.model, teacher.scale.model, teacher.name)
        if request.excerpt:
            check_placement(CACHED, [request.loss])
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


def shortest(number: Value) -> Value:
    """A number in the one form that its text is shortest in: whole ones without a point.

    >>> shortest(2.0), shortest(3e-4), shortest("input")
    (2, 0.0003, 'input')
    """
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53
    return int(number) if is_whole else number


def format_value(name: str, value: Value) -> str:
    """A value of a request as text: token counts with K, M or B.

    >>> format_value("age", 80_000_000_000), format_value("count", 4), format_value("gap", 0)
    ('80B', '4', '0')
    """
    if name in _TOKEN_FIELDS and isinstance(value, int):
        return format_tokens(value)
    return str(value)


def teacher_named(name: str, own: BaseRequest) -> BaseRequest:
    """The base that `--teacher` means.

    Args:
        name: `own`, an age or a revision of this scale, `SCALE@AGE`, or a checkpoint.
        own: the base of the trial.

    Raises:
        UsageError: if there is no such base, or it has another tokenizer, or too short a context.
        DataError: if a checkpoint cannot be read.
    """
    scale = own.scale
    if name == OWN:
        return own
    if scale.brought and name in scale.ages:
        return BaseRequest(scale=scale, age=name)
    if named := teaching_checkpoint(name, scale.ages, scale.models):
        theirs = teacher_scale(named, scale)
        if theirs.name == scale.name:  # the students' own model
            has_age = named.revision in scale.ages
            theirs = scale if has_age else dataclasses.replace(scale, ages=theirs.ages)
        return BaseRequest(scale=theirs, age=named.revision)
    if not BASE_NAME.fullmatch(name) or (scale.brought and "@" not in name):
        ages = f"an age such as {format_age(scale.ages[0])}"
        raise UsageError(
            f"no teacher {name!r}: write own, {ages}, SCALE@AGE, a folder, or an id of the hub"
        )

    def alike(other: str) -> Scale:
        is_own = other.replace("-", "_") == scale.name
        return scale if is_own else reading_alike(other, scale, f"teacher {name!r}")

    return base_named(name if "@" in name else f"{scale.name}@{name}", alike)


def teacher_label(values: Mapping[str, Value], scale: Scale) -> dict[str, Value]:
    """The axis `teacher` as tables name it, if it is a checkpoint: by its name, not its place."""
    named = teaching_checkpoint(str(values.get(TEACHER, OWN)), scale.ages, scale.models)
    if named is None:
        return {}
    base = BaseRequest(scale=scale, age=scale.ages[-1])
    return {TEACHER: teacher_named(named.text, base).name}


def reading_alike(name: str, own: Scale, what: str) -> Scale:
    """The scale of that name with the text of `own`.

    Raises:
        UsageError: if there is no such scale, or it reads its text with another tokenizer.
    """
    scale = load_scale(name)
    if own.brought:
        if (tokenizer := local_tokenizer(scale)) is None:
            raise UsageError(f"{what}: the tokenizer of {scale.corpus!r} is made of that text")
        check_ids(what, tokenizer, scale.model.vocab_size, own)
    elif scale.corpus != load_scale(own.name).corpus:
        raise UsageError(
            f"{what} has another tokenizer: scale {scale.name!r} reads {scale.corpus!r}, "
            f"the student's {own.corpus!r}"
        )
    elif local_tokenizer(own) is None and scale.model.vocab_size != own.model.vocab_size:
        raise UsageError(f"{what} has another tokenizer: of {scale.model.vocab_size} entries")
    return with_text_of(scale, own)


def bases_of(cells: Sequence[Cell], *, teachers: bool = False) -> tuple[BaseRequest, ...]:
    """The bases that cells start from, each once, by scale and the youngest first."""
    bases = [cell.base for cell in cells]
    if teachers:
        bases += [cell.teacher for cell in cells if not isinstance(cell.teacher, NoTeacher)]
    by_key = {base.key: base for base in bases}
    scales = list(dict.fromkeys(name for name, _ in by_key))
    places = age_places(age for base in bases for age in (*base.scale.ages, base.age))

    def order(base: BaseRequest) -> tuple[int, int]:
        return scales.index(base.scale.name), places[base.age]

    return tuple(sorted(by_key.values(), key=order))


def axes_of(own: Sequence[str], cells: Iterable[Cell]) -> tuple[str, ...]:
    """The axes of a sweep, and after them, by name, those that flags gave its cells; no seed."""
    several = {tuple(cell.values) for cell in cells}
    more = set(itertools.chain(*several)) - {*own, "seed", REFERENCE, ADDED}
    return (*own, *sorted(more))


def teachers_beside(cells: Iterable[Cell]) -> tuple[BaseRequest, ...]:
    """The teachers of cells that are other models than their bases, each once."""
    beside = (cell.teacher_beside for cell in cells)
    return tuple({t.key: t for t in beside if not isinstance(t, NoTeacher)}.values())


def cell_name(location: str, values: Mapping[str, Value]) -> str:
    """The name of a cell: its arm, reference or location, and every other value.

    >>> cell_name("input", {"location": "input", "age": 320_000_000_000, "count": 4})
    'input, age 320B, count 4'
    """
    first = values.get("arm") or values.get(REFERENCE) or location
    others = [axis_text(axis, values[axis]) for axis in values if axis not in _FIRST_IN_NAMES]
    return ", ".join([str(first), *others])


def axis_text(axis: str, value: Value) -> str:
    """`gap 100M`: an axis with its value, in the name of a cell."""
    return f"{axis} {format_tokens(value) if isinstance(value, int) else value}"


def base_named(name: str, load: Callable[[str], Scale] = load_scale) -> BaseRequest:
    """The base that `SCALE@AGE` names, or a scale alone: then its oldest.

    Raises:
        UsageError: if there is no such scale, or it has no such age.
    """
    scale_name, _, age = name.partition("@")
    scale = load(scale_name)
    base = BaseRequest(scale=scale, age=parse_tokens(age) if age else scale.ages[-1])
    scale.age_tokens(base.age)  # refuses an age that the scale does not have
    return base
