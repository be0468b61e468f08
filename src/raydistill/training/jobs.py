"""Work that crosses to another process: what to do, and the storage to do it in."""

from dataclasses import dataclass

from raydistill.pruning.layer_choice import LayerRequest
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import Recipe, TrialSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """To the end of the recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StopAt:
    """No further than `tokens`; a checkpoint stays, from which the same trial goes on later."""

    tokens: int  # whole steps


CHECKPOINT_EVERY_S = 15.0
"""Between two checkpoints, unless said otherwise; of a large model's time at most a twentieth."""

CACHE_GB = 8.0
"""What cached teachers may take in a storage, all together, unless said otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialJob:
    """Train a trial, if the store has not got it, and measure it.

    How far it goes now is not part of the trial: its schedule is that of the whole budget.
    """

    spec: TrialSpec
    base_sha256: str  # what it lost is against these weights
    evaluation: EvalSpec
    storage: str
    sweep: str  # on whose behalf; the first one is kept with the trial
    owner: str = ""  # who runs it
    tasks_averaged: tuple[str, ...] = ()  # that the downstream mean it reports is over
    until: Whole | StopAt = Whole()
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    teacher_actor: str = ""  # its name, if the teacher stands on devices of its own
    teacher_sharded: bool = False  # over the ranks, instead of a copy on each
    cache_gb: float = CACHE_GB  # that cached teachers may take in the storage, all together


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainJob:
    """Train the bases of some ages, which are whole steps of one run."""

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
    teachers: tuple[ModelConfig, ...]  # whole, frozen, beside the student


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
