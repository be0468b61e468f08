"""From requests to trials, as far as corpus, bases and layer choices are made.

Each stage of a sweep makes one of these, so a plan can be resolved before the first stage (for
`--dry-run`), and completely after the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raydistill.core.errors import UsageError
from raydistill.core.units import format_age
from raydistill.models.huggingface.shape.leaving import check_leaving, shortened
from raydistill.models.huggingface.surgery.layer_fields import CannotLeaveError
from raydistill.planning.artifacts import Artifacts, layer_request, pretraining
from raydistill.planning.cell import BaseRequest, Cell
from raydistill.pruning.layer_choice import FailedChoice
from raydistill.specs.drop_plan import plan_drops
from raydistill.specs.locations import LOCATIONS, Layers, is_data_driven, is_list, pick
from raydistill.specs.model import Model
from raydistill.specs.scale import Scale
from raydistill.specs.shape.families import check_measured
from raydistill.specs.trial import (
    CUT,
    FROM_BASE,
    Base,
    CachedTeacher,
    CutBase,
    DropPlan,
    ExternalBase,
    NoTeacher,
    PretrainedBase,
    RandomBase,
    Recipe,
    TrainSpec,
    TrialRequest,
    TrialSpec,
    UnreadBase,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unscored:
    """A trial whose layers are known after scoring."""

    base: Base
    request: TrialRequest
    recipe: Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrial:
    """One distinct trial, and all cells that mean it."""

    cells: tuple[Cell, ...]
    trial: TrialSpec | Unscored

    @property
    def has_final_id(self) -> bool:
        """Whether the trial's id is the one that the store will know it by."""
        if not isinstance(self.trial, TrialSpec) or self.cells[0].request.peak_lr == "probe":
            return False
        return not any(isinstance(base, PretrainedBase | UnreadBase) for base in self._needed)

    @property
    def id_after(self) -> str:
        """What its id waits for, of its base and its teacher: reading, or pretraining."""
        to_pretrain = any(isinstance(base, PretrainedBase) for base in self._needed)
        return "after pretraining" if to_pretrain else "after reading"

    @property
    def _needed(self) -> tuple[object, ...]:
        """Its base and, if its layers are known, its teacher."""
        if not isinstance(self.trial, TrialSpec):
            return (self.trial.base,)
        return tuple(
            item.base if isinstance(item, CachedTeacher | CutBase) else item
            for item in (self.trial.base, self.trial.teacher)
        )

    @property
    def is_unchosen(self) -> bool:
        """Whether a score failed to choose its layers, so that it can only fail."""
        return isinstance(self.trial, TrialSpec) and bool(self.trial.unchosen)

    @property
    def trial_id(self) -> str:
        """The id of a trial whose layers are known."""
        assert isinstance(self.trial, TrialSpec), "every layer score is known after the stages"
        return self.trial.trial_id

    @property
    def scale(self) -> Scale:
        """The scale of the model that is trained."""
        return self.cells[0].scale


def distinct(cells: Sequence[Cell], artifacts: Artifacts) -> tuple[PlannedTrial, ...]:
    """The trials behind the cells, each once, in the order of their first cell.

    Raises:
        UsageError: if the model or the schedule of a cell does not allow what it asks for.
        CannotLeaveError: if no config of the model's type can say that its layers left.
    """
    trials: dict[str | Unscored, tuple[TrialSpec | Unscored, list[Cell]]] = {}
    _check_leaving(cells)
    for scale in {id(cell.scale): cell.scale for cell in cells}.values():
        check_measured(scale.model, scale.evaluation, scale.objective)
    for cell in cells:
        trial = resolve(cell, artifacts)
        key = trial.trial_id if isinstance(trial, TrialSpec) else trial
        trials.setdefault(key, (trial, []))[1].append(cell)
    return tuple(PlannedTrial(cells=tuple(same), trial=trial) for trial, same in trials.values())


def resolve(cell: Cell, artifacts: Artifacts) -> TrialSpec | Unscored:
    """The trial that a cell means.

    Raises:
        UsageError: if the model or the schedule does not allow the request.
    """
    request, scale = cell.request, cell.scale
    base, recipe = resolve_base(cell.base, artifacts), scale.recipe(request)
    layers, failed = _layers(cell, artifacts), failed_choice(cell, artifacts)
    if layers is None:
        stand_in_plan(request, scale)  # refuses a request that no layers could meet
    if layers is None and failed is None:
        return Unscored(base=base, request=request, recipe=recipe)
    corpus = artifacts.corpus_of(scale)
    train = TrainSpec(
        recipe=recipe,
        loss=request.loss,
        seed=request.seed,
        corpus_sha256=corpus.corpus_sha256,
        tokenizer_sha256=corpus.tokenizer_sha256,
    )
    teacher: Base | CachedTeacher | NoTeacher = NoTeacher()
    if not isinstance(cell.teacher, NoTeacher):
        teacher = resolve_teacher(cell.teacher, request, artifacts)
    if layers is None:
        spec = TrialSpec(base=base, plan=DropPlan(), train=train, teacher=teacher)
        removal = (layer_request(request), scale.gap_tokens(request), request.order, request.start)
        return _with_own_parts(replace(spec, unchosen=str(removal)))
    if request.start == FROM_BASE:
        plan = _plan(request, scale, layers)
        return _with_own_parts(TrialSpec(base=base, plan=plan, train=train, teacher=teacher))
    if request.start == CUT:
        cut = cut_base(cell.teacher, scale.model, artifacts)
        return _with_own_parts(TrialSpec(base=cut, plan=DropPlan(), train=train, teacher=teacher))
    fresh = RandomBase(model=shortened(scale.model, layers), seed=request.seed)
    return _with_own_parts(TrialSpec(base=fresh, plan=DropPlan(), train=train, teacher=teacher))


def _with_own_parts(spec: TrialSpec) -> TrialSpec:
    parts = spec.parts
    return replace(spec, own_parts=tuple(sorted(parts.items()))) if parts else spec


def stand_in_plan(request: TrialRequest, scale: Scale) -> DropPlan:
    """A drop plan that costs as much as the request, whichever layers are removed."""
    if request.start != FROM_BASE:
        return DropPlan()
    stand_in = request.location if not is_data_driven(request.location) else LOCATIONS[0]
    return _plan(request, scale, _picked(replace(request, location=stand_in), scale))


def _layers(cell: Cell, artifacts: Artifacts) -> Layers | None:
    """The layers to remove; None until a data-driven location is scored on its base."""
    if not is_data_driven(cell.request.location):
        return _picked(cell.request, cell.scale)
    choice = artifacts.layer_choices.get((cell.base.key, layer_request(cell.request)))
    return choice.layers if choice and not _refusal(cell, choice.layers) else None


def failed_choice(cell: Cell, artifacts: Artifacts) -> FailedChoice | None:
    """Why the score of a data-driven location chose no layers of the cell's base, if it failed.

    It did too if it chose layers that cannot leave.
    """
    key = cell.base.key, layer_request(cell.request)
    choice = artifacts.layer_choices.get(key)
    if choice and (message := _refusal(cell, choice.layers)):
        return FailedChoice(request=key[1], message=message, traceback="")
    return artifacts.failed_choices.get(key)


def _refusal(cell: Cell, layers: Layers) -> str:
    """Why layers cannot leave a cell's model; empty where they can."""
    try:
        check_leaving(cell.scale.model, layers, ends=cell.request.allow_ends)
    except CannotLeaveError as refusal:
        location = cell.request.location
        return str(refusal) if is_list(location) else f"{location}: {refusal}"
    return ""


def _check_leaving(cells: Sequence[Cell]) -> None:
    """Refuse cells whose layers are known and cannot leave: the first, and the others' names."""
    refusals: dict[tuple[str, int], str] = {}
    for cell in cells:
        request = cell.request
        key = request.location, request.count
        if key in refusals or is_data_driven(request.location):
            continue
        refusals[key] = _refusal(cell, _picked(request, cell.scale))
    if refused := [(location, text) for (location, _), text in refusals.items() if text]:
        others = [location for location, _ in refused[1:]]
        more = f". Neither can those of {', '.join(dict.fromkeys(others))}" if others else ""
        raise CannotLeaveError(f"{refused[0][1]}{more}")


def _picked(request: TrialRequest, scale: Scale) -> Layers:
    ends = request.allow_ends
    return pick(request.location, scale.model.num_layers, request.count, allow_ends=ends)


def resolve_base(request: BaseRequest, artifacts: Artifacts) -> Base:
    """A base: its weights if they exist, else how they will be made."""
    scale, age_tokens = request.scale, request.scale.age_tokens(request.age)
    if request.key in artifacts.bases:
        return artifacts.bases[request.key]
    if scale.brought:
        return UnreadBase(name=scale.brought, revision=format_age(request.age))
    train = pretraining(scale, artifacts.corpus_of(scale)).train
    return PretrainedBase(model=scale.model, train=train, age_tokens=age_tokens)


def cut_base(teacher: BaseRequest | NoTeacher, model: Model, artifacts: Artifacts) -> Base:
    """A teacher's weights cut to the shape of `model`; as they are where that is their own.

    Raises:
        UsageError: if there is no teacher.
    """
    if isinstance(teacher, NoTeacher):
        raise UsageError(f"start {CUT}: a loss without a teacher has nothing to cut from")
    base = resolve_base(teacher, artifacts)
    if teacher.scale.model == model:
        return base
    assert isinstance(base, ExternalBase | PretrainedBase), base
    return CutBase(base=base, model=model)


def resolve_teacher(
    teacher: BaseRequest, request: TrialRequest, artifacts: Artifacts
) -> Base | CachedTeacher:
    """A teacher: a base, or an excerpt of its answers in the store."""
    base = resolve_base(teacher, artifacts)
    return CachedTeacher(base=base, excerpt=request.excerpt) if request.excerpt else base


def _plan(request: TrialRequest, scale: Scale, layers: Sequence[int]) -> DropPlan:
    return plan_drops(
        layers,
        recipe=scale.recipe(request),
        gap_tokens=scale.gap_tokens(request),
        order=request.order,
        min_steps_after=scale.min_steps_after_cut if request.budget else 0,
    )
