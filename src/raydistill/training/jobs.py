"""Work that crosses to another process: what to do, and the storage to do it in."""

from collections.abc import Iterable
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.distillation.loss_name import feature_weights
from raydistill.pruning.layer_choice import FailedChoice, LayerRequest
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import Recipe, TrialSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ToTheEnd:
    """Train to the end of the recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StopAt:
    """Train no further than `tokens` and leave a checkpoint, from which the trial can resume."""

    tokens: int  # whole steps


CHECKPOINT_EVERY_S = 15.0  # by default; saving takes at most a twentieth of a run's time
# Shares of the budget after which held-out nll is measured; 0 is right after the cut.
HELDOUT_AT = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
AUTO, WHOLE, FULLY = "auto", "none", "fully"  # of a student on several devices
SHARDINGS = (AUTO, WHOLE, FULLY)
MOST_OF_DEVICE = 0.9  # of its memory, that a trial may need before `auto` shards it
CACHE_GB = 8.0  # by default, what all cached teachers together may take in a storage


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialJob:
    """Train a trial unless the store has it, and measure it.

    How far this job goes is not part of the trial: the schedule is that of the whole budget.
    """

    spec: TrialSpec
    base_sha256: str  # of the weights that drops are measured against
    evaluation: EvalSpec
    storage: str
    sweep: str  # that asks for it; the first one is noted with the trial
    owner: str = ""  # who runs it
    tasks_averaged: tuple[str, ...] = ()  # in the downstream mean that it reports
    until: ToTheEnd | StopAt = ToTheEnd()
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    teacher_actor: str = ""  # its name, if the teacher has devices of its own
    teacher_sharded: bool = False  # over the ranks, instead of a copy on each
    cache_gb: float = CACHE_GB
    sharding: str = WHOLE  # one of `SHARDINGS`
    failed_choice: FailedChoice | None = None  # of the layers that it would remove


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainJob:
    """Pretrain one run, and keep a base at each age, a whole step of it."""

    spec: TrialSpec
    ages_tokens: tuple[int, ...]
    evaluation: EvalSpec
    storage: str
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseJob:
    """Measure a base, and choose its layers by data-driven scores of training windows."""

    weights_sha256: str
    corpus_sha256: str
    evaluation: EvalSpec
    layers: tuple[LayerRequest, ...]
    storage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A model as it trains after the cut: so many blocks out, with this loss and teachers."""

    loss: str
    removed: int
    teachers: tuple[ModelConfig, ...]  # frozen, on the student's device
    taught_by: str = ""  # the name of a teacher that is another model than the base


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeJob:
    """Time a few steps of each variant on one device, on random tokens."""

    model: ModelConfig  # of the base
    recipe: Recipe
    devices: int  # that share a step's micro-batches
    variants: tuple[Variant, ...]
    evaluation: EvalSpec
    corpus_sha256: str  # whose items are answered, if they are made
    storage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CutJob:
    """Measure a base with each of some layer sets taken out, before any training."""

    weights_sha256: str
    corpus_sha256: str
    evaluation: EvalSpec
    layer_sets: tuple[tuple[int, ...], ...]  # each ascending
    storage: str


def check_sharding(
    sharding: str, losses: Iterable[str], recipes: Iterable[Recipe], devices: range
) -> None:
    """Refuse a sharding that does not go with a loss, a recipe or a number of devices.

    Raises:
        UsageError: with what to do instead.
    """
    if sharding not in SHARDINGS:
        raise UsageError(unknown("sharding", sharding, SHARDINGS))
    if sharding == FULLY and max(devices) == 1:
        raise UsageError("--sharding fully is over several devices: add --devices-per-trial 2")
    inside = [loss for loss in sorted(set(losses)) if not shards_with(loss)]
    if sharding == FULLY and inside:
        raise UsageError(
            f"loss {inside[0]!r} looks into the student's attention, whose weights are then in "
            f"shards: --sharding {WHOLE}"
        )
    if max(devices) == 1 or all(recipe.param_dtype == "float32" for recipe in recipes):
        return
    if sharding == WHOLE:
        raise UsageError(
            f"param_dtype bfloat16 on several devices sums gradients in shards: --sharding {FULLY}"
        )
    if inside:
        raise UsageError(
            f"param_dtype bfloat16 on several devices shards the student, and loss {inside[0]!r} "
            "looks into its attention: leave param_dtype out, or --devices-per-trial 1"
        )


def shards_with(loss: str) -> bool:
    """Whether a loss can be computed on a sharded student."""
    return "attention" not in feature_weights(loss)
