"""The distinct kinds of training in a plan, by the memory that they take on each device."""

import functools
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.distillation.teacher_placement import AUTO, CACHED, OWN_DEVICES, SHARDED
from raydistill.planning.artifacts import ages_by_scale
from raydistill.planning.cell import Cell
from raydistill.planning.memory.limits import Limit
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.preview.costs import base_work, trial_work
from raydistill.planning.resolve import PlannedTrial, stand_in_plan
from raydistill.specs.flops import of_mean_blocks, parameters
from raydistill.specs.memory.setup import Place, Setup, TeacherAt
from raydistill.specs.memory.trial_memory import TrialMemory, trial_memory
from raydistill.specs.model import MixedHubConfig
from raydistill.specs.scale import Scale
from raydistill.specs.trial import DropPlan, LayerDrop, NoTeacher, RandomBase, TrialSpec
from raydistill.training.jobs import FULLY, MOST_OF_DEVICE, WHOLE, shards_with
from raydistill.training.memory.expected import setup_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Trainings that take the same memory, for the same reasons."""

    name: str  # of the loss and the blocks, and of the model where a plan has several
    scale: str
    setup: Setup
    memory: TrialMemory
    trials: int

    @property
    def peak(self) -> int:
        """Bytes on one device, at the most at once."""
        return self.memory.resident


def kinds_of(prepared: PreparedSweep, limit: Limit | Literal["unknown"]) -> list[Kind]:
    """The kinds of what is left to train, the largest first; trials without training in none.

    A student that is shared out is one more once it is trained: one device scores it, whole.

    Args:
        prepared: the plan, with its probes of learning rates.
        limit: of its devices.
    """
    on_cpu = limit != "unknown" and limit.on_cpu
    names = {planned.scale.name for planned in prepared.trials}
    kinds: dict[tuple[str, TrialMemory], Kind] = {}

    def add(name: str, scale: Scale, setup: Setup) -> None:
        of_scale = f"{name}, {scale.name}" if len(names) > 1 else name
        memory = memory_of(setup)
        known = kinds.get((of_scale, memory))
        count = 1 + (known.trials if known else 0)
        kinds[of_scale, memory] = Kind(
            name=of_scale, scale=scale.name, setup=setup, memory=memory, trials=count
        )

    for scale, ages in ages_by_scale(prepared.plan.cells):
        if not scale.brought and not base_work(scale, prepared.artifacts, ages).done:
            add("pretraining", scale, _pretraining(scale, on_cpu))
    options = prepared.plan.options
    for planned in prepared.trials:
        setup = _trial(planned, options.teacher_placement, limit, on_cpu)
        if _is_sharded(setup, planned.cells[0].request.loss, options.sharding, limit):
            setup = replace(setup, sharding="fully")
        if setup.recipe.total_tokens and not trial_work(planned, prepared.store).done:
            name = _name(planned.cells[0], setup)
            add(name, planned.scale, setup)
            if setup.sharding == "fully" and not on_cpu:
                add(f"{name}, scored", planned.scale, _scored(setup))
    return sorted(kinds.values(), key=lambda kind: -kind.peak)


def _is_sharded(setup: Setup, loss: str, sharding: str, limit: Limit | Literal["unknown"]) -> bool:
    """Whether a trial shares its student out: as its workers decide, as far as is known here."""
    if setup.devices == 1 or sharding == WHOLE or not shards_with(loss):
        return False
    if sharding == FULLY or setup.recipe.param_dtype != "float32":
        return True
    if limit == "unknown":
        return False
    return memory_of(setup).resident > MOST_OF_DEVICE * limit.bytes_each(setup.devices)


def _scored(setup: Setup) -> Setup:
    """What the leading rank's device holds of a trained student: all that is left of it, alone."""
    gone = (LayerDrop(at_tokens=0, layer=layer) for layer in sorted(setup.plan.layers))
    recipe = replace(
        setup.recipe, budget_tokens=0, warm_phase_tokens=0, warmup_tokens=0, param_dtype="float32"
    )
    plan = DropPlan(drops=tuple(gone))
    return replace(setup, recipe=recipe, plan=plan, teacher="none", devices=1, sharding="none")


def memory_of(setup: Setup) -> TrialMemory:
    """`trial_memory`, computed once for trials that differ in which of alike blocks leave."""
    if isinstance(setup.model, MixedHubConfig):
        return _memory(setup)
    drops = (LayerDrop(at_tokens=d.at_tokens, layer=n) for n, d in enumerate(setup.plan.drops))
    return _memory(replace(setup, plan=DropPlan(drops=tuple(drops))))


@functools.lru_cache(maxsize=4096)
def _memory(setup: Setup) -> TrialMemory:
    return trial_memory(setup)


def _pretraining(scale: Scale, on_cpu: bool) -> Setup:
    setup = setup_of(scale.model, DropPlan(), scale.pretrain, scale.objective, on_cpu=on_cpu)
    return replace(setup, evaluation_windows=scale.evaluation.curve_windows)


def _trial(
    planned: PlannedTrial, placement: str, limit: Limit | Literal["unknown"], on_cpu: bool
) -> Setup:
    cell, trial, model = planned.cells[0], planned.trial, planned.scale.model
    if isinstance(trial, TrialSpec):
        plan = trial.plan
        model = trial.base.model if isinstance(trial.base, RandomBase) else model
    else:
        plan, model = stand_in_plan(cell.request, planned.scale), of_mean_blocks(model)
    setup = setup_of(
        model,
        plan,
        planned.scale.recipe(cell.request),
        cell.request.loss,
        on_cpu=on_cpu,
        teacher=_teacher(cell, placement, limit),
    )
    return replace(
        setup,
        recipe=replace(setup.recipe, peak_lr=1.0, weight_decay=0.0),  # no memory depends on them
        devices=planned.scale.devices_per_trial,
        evaluation_windows=planned.scale.evaluation.curve_windows,
    )


def _teacher(
    cell: Cell, placement: str, limit: Limit | Literal["unknown"]
) -> TeacherAt | Literal["none"]:
    if isinstance(cell.teacher, NoTeacher):
        return "none"
    model, kind = cell.teacher.scale.model, placement.partition(":")[0]
    places: dict[str, Place] = {OWN_DEVICES: "apart", SHARDED: "sharded", CACHED: "cached"}
    place = "cached" if cell.request.excerpt else places.get(kind, "beside")
    if kind == AUTO and place == "beside" and limit != "unknown" and not limit.on_cpu:
        together = 16 * parameters(cell.scale.model) + 4 * parameters(model)
        if limit.memory_bytes < 2 * together:  # as `runners/teacher_actors.py` decides
            place = "apart"
    return TeacherAt(model=model, place=place)


def _name(cell: Cell, setup: Setup) -> str:
    """The loss and the blocks that stay."""
    blocks = setup.model.num_layers
    left = blocks - len(setup.plan.drops)
    of = "" if left == blocks else f"{left} of "
    return f"{cell.request.loss.partition('+')[0]}, {of}{blocks} blocks"
