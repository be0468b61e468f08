"""What a trial is: frozen values without tensors, paths or callables.

Everything here can be written as JSON and read back (`core/serialization.py`). A layer is always
an integer index in the base model; the unit of training is the token.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from raydistill.core.parts import EXCERPT, LOSS, MODEL_FAMILY, PartKind
from raydistill.core.serialization import digest
from raydistill.specs.model import Model
from raydistill.specs.part_identity import own_parts

# Part of every trial id; incremented when the same spec would train to other bits than before.
NUMERICS_VERSION = 1
CUT_VERSION = 1  # the same of how weights are cut


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained (paper, sections 4.1 and 4.2). Token counts are whole steps."""

    peak_lr: float
    budget_tokens: int
    batch_tokens: int
    micro_batches: int  # per step, over all ranks; the bits depend on it
    warmup_tokens: int
    warm_phase_tokens: int = 0
    optimizer: str = "lion"
    schedule: str = "cosine"
    final_lr_ratio: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 1e-4
    grad_clip: float = 1.0
    precision: str = "float32"
    param_dtype: str = "float32"  # of the weights; under bfloat16 the optimizer has float32 ones
    activation_checkpointing: str = "none"  # or blocks: each is computed again in the backward pass
    optimizer_offload: str = "none"  # or cpu, where the optimizer's state then lies

    @property
    def total_tokens(self) -> int:
        """Warm phase and budget, which the learning-rate schedule spans."""
        return self.warm_phase_tokens + self.budget_tokens

    @property
    def total_steps(self) -> int:
        """Optimizer steps in all."""
        return self.total_tokens // self.batch_tokens

    @property
    def named_fields(self) -> dict[str, str | int | float]:
        """The fields by name, without those that came later where they have their default."""
        fields = dataclasses.asdict(self)
        return {name: v for name, v in fields.items() if v != LATER_FIELDS.get(name)}


_LATER = "param_dtype", "activation_checkpointing", "optimizer_offload"
LATER_FIELDS = {f.name: f.default for f in dataclasses.fields(Recipe) if f.name in _LATER}
# They change what a training takes and no bit of what it comes to, so they are in no id: a trial
# that lacks memory resumes with them.
MEMORY_FIELDS = ("activation_checkpointing", "optimizer_offload")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    """A recipe on a corpus: all that decides the bits, besides base, drop plan and teacher."""

    recipe: Recipe
    loss: str
    seed: int  # of the data order
    corpus_sha256: str  # of the training and held-out tokens
    tokenizer_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainedBase:
    """A base that is pretrained here: `model` by `train`, after `age_tokens`."""

    model: Model
    train: TrainSpec
    age_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalBase:
    """An existing checkpoint: its identity is its weights; name and revision are for people.

    `family` computes with them, if the package ships it: an edited one is another. A family of
    one's own is in the weights, which it pretrained here under the digest of its code.
    """

    name: str
    revision: str
    weights_sha256: str
    family: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomBase:
    """Fresh weights, where pretraining and training from scratch begin."""

    model: Model
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CutBase:
    """The weights of a larger base cut to the shape of `model` (`pruning/width.py`)."""

    base: ExternalBase | PretrainedBase
    model: Model


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadBase:
    """A checkpoint of the Hugging Face world that has not been read yet: folder or hub id."""

    name: str
    revision: str


Base = PretrainedBase | ExternalBase | RandomBase | CutBase | UnreadBase


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTeacher:
    """Teacher-free: the loss is the language modelling loss alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedTeacher:
    """A base whose cached answers are read: of each an `excerpt`, such as `top-k-tail=32`.

    An excerpt is less than the whole answer, and so trains to other bits.
    """

    base: Base
    excerpt: str


Teacher = Base | NoTeacher | CachedTeacher

TEACHER_FREE = "lm"  # the loss of bases, warm phases and controls
OWN = "own"  # the teacher that is the trial's own base, as loaded

# Where a trial begins: at its base; at fresh weights of the student's size that train on the
# budget; at such that train on as many tokens as base and budget together (METHOD 7); at its
# teacher's weights, cut to the student's size (METHOD 8).
FROM_BASE, SCRATCH, SCRATCH_WITH_AGE, CUT = "base", "scratch", "scratch-with-age", "cut"
TRAINED_STARTS = FROM_BASE, CUT  # at trained weights: healed by the recipe of trials


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class LayerDrop:
    """`layer` leaves before the step that begins at `at_tokens` (from the trial's start)."""

    at_tokens: int
    layer: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DropPlan:
    """Which layers leave, and when; sorted by time, then layer. Empty: nothing leaves."""

    drops: tuple[LayerDrop, ...] = ()

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that leave, ascending."""
        return tuple(sorted(drop.layer for drop in self.drops))

    def due(self, seen_tokens: int) -> tuple[int, ...]:
        """The layers that have left once `seen_tokens` are trained on, ascending."""
        return tuple(sorted(d.layer for d in self.drops if d.at_tokens <= seen_tokens))


Age = int | str  # of a base: tokens seen, in the paper's numbers; or a checkpoint's revision


def age_places(ages: Iterable[Age]) -> dict[Age, int]:
    """The place of each age among others: tokens ascending, then revisions as they come.

    >>> age_places([320, 80, "step200", "step100"])
    {80: 0, 320: 1, 'step200': 2, 'step100': 3}
    """
    distinct = dict.fromkeys(ages)
    tokens = sorted(age for age in distinct if isinstance(age, int))
    revisions = [age for age in distinct if isinstance(age, str)]
    ordered: list[Age] = [*tokens, *revisions]
    return {age: place for place, age in enumerate(ordered)}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRequest:
    """A trial of a scale, unresolved: names, and token counts in the paper's numbers.

    A budget of 0 is the model right after the cut: no training, not even a warm phase.
    """

    age: Age
    location: str
    count: int
    gap: int = 0
    loss: str = "lm"
    budget: int = 20_000_000_000  # the paper's, for every trial
    seed: int = 1  # of the data order; 0 is pretraining's
    order: str = "ascending"
    allow_ends: bool = False
    teacher: str = OWN  # of a loss with one: an age (`80B`), or another scale's (`laptop@80B`)
    excerpt: str = ""  # what is cached of the teacher's answers; empty: the teacher runs online
    start: str = FROM_BASE  # or SCRATCH, SCRATCH_WITH_AGE, or CUT
    peak_lr: float | Literal["scale", "probe"] = "scale"  # or from the probe of its arm
    settings: tuple[tuple[str, str | int | float], ...] = ()  # other fields of its recipe, sorted

    @property
    def starts_trained(self) -> bool:
        """Whether it starts at trained weights, which the recipe of trials heals."""
        return self.start in TRAINED_STARTS


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """One trial, resolved: equal work has an equal `trial_id`, however it was requested."""

    base: Base
    plan: DropPlan
    train: TrainSpec
    teacher: Teacher = NoTeacher()
    own_parts: tuple[tuple[str, str], ...] = ()  # as planned, for where their files are gone
    unchosen: str = ""  # the removal that fails, because a score chose no layers; mostly empty

    @property
    def parts(self) -> dict[str, str]:
        """The identities of the parts that are not as the package ships them, by kind and name."""
        named = [_loss(self.train), *_parts(self.base), *_parts(self.teacher)]
        return own_parts(named, gone=dict(self.own_parts))

    @property
    def trial_id(self) -> str:
        """Sixteen hex digits, the digest of everything that decides the trained weights."""
        identity = {
            "base": _identity(self.base),
            "plan": dataclasses.asdict(self.plan),
            "train": _train_identity(self.train),
            "teacher": _identity(self.teacher),
            "numerics": NUMERICS_VERSION,
        }
        more = {"parts": self.parts, "unchosen": self.unchosen}
        return digest(identity | {name: value for name, value in more.items() if value})


def _identity(base: Teacher) -> object:
    if isinstance(base, CachedTeacher):
        return {"cached": _identity(base.base), "excerpt": base.excerpt}
    if isinstance(base, ExternalBase):
        return {"weights_sha256": base.weights_sha256}
    if isinstance(base, CutBase):
        cut = {"base": _identity(base.base), "model": dataclasses.asdict(base.model)}
        return {"CutBase": {**cut, "version": CUT_VERSION}}
    train = {"train": _train_identity(base.train)} if isinstance(base, PretrainedBase) else {}
    return {type(base).__name__: dataclasses.asdict(base) | train}


def _train_identity(train: TrainSpec) -> dict[str, object]:
    recipe = {name: v for name, v in train.recipe.named_fields.items() if name not in MEMORY_FIELDS}
    return dataclasses.asdict(train) | {"recipe": recipe}


def _parts(base: Teacher) -> Iterator[tuple[PartKind, str]]:
    """The parts that a base or a teacher names."""
    if isinstance(base, CachedTeacher):
        yield EXCERPT, base.excerpt.partition("=")[0]
        yield from _parts(base.base)
    if isinstance(base, CutBase):
        yield from _parts(base.base)
    if isinstance(base, PretrainedBase | RandomBase | CutBase):
        yield MODEL_FAMILY, base.model.family
    if isinstance(base, ExternalBase) and base.family:
        yield MODEL_FAMILY, base.family
    if isinstance(base, PretrainedBase):
        yield _loss(base.train)


def _loss(train: TrainSpec) -> tuple[PartKind, str]:
    return LOSS, train.loss.partition("+")[0]
