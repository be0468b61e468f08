"""Results of trials: scores, costs, curves and failures, which the store keeps as JSON."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from raydistill.specs.evaluation import PERPLEXITY, held_out_loss
from raydistill.specs.model import Model
from raydistill.specs.trial import Recipe, TrialSpec

MAX_CURVE_POINTS = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """How a task's items were read: how many were longer than that, and lost their beginning."""

    max_length: int  # tokens that were read at once, at most
    items: int
    truncated: int
    unlike_file: str = ""  # transformers' class that reads texts otherwise than tokenizer.json


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitScores:
    """One score split by document: its value is `sum(sums) / sum(counts)`.

    The unit is a whole document with everything made from it (METHOD 6). For perplexity `sums`
    are nats and `counts` target tokens, for a task correct answers and items, for F1
    2·TP and 2·TP + FP + FN.
    """

    units: tuple[str, ...]
    sums: tuple[float, ...]
    counts: tuple[int, ...]
    counts_vary: bool = False  # with the answers, as for F1
    chance: float = 0.0  # the score of guessing, where it depends on the items
    beside: tuple[tuple[str, float], ...] = ()  # other metrics of the same items, in no mean
    truncation: Truncation | Literal["not counted"] = "not counted"  # of a task, over all items

    @property
    def value(self) -> float:
        """The mean over everything counted."""
        return sum(self.sums) / sum(self.counts)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScore:
    """A zero-shot score in [0, 1], its standard error, and the score of guessing."""

    value: float
    stderr: float
    chance: float
    beside: tuple[tuple[str, float], ...] = ()  # other metrics of the same items, in no mean
    truncation: Truncation | Literal["not counted"] = "not counted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """The scores of one set of weights; `nll` in nats per held-out target of its `loss`."""

    weights_sha256: str
    nll: float
    tasks: Mapping[str, TaskScore]
    general_nll: float | Literal["not measured"] = "not measured"  # on a second text
    loss: str = PERPLEXITY  # or `masked-perplexity`: of hidden tokens

    @property
    def downstream(self) -> float:
        """The mean of the task values."""
        return sum(task.value for task in self.tasks.values()) / len(self.tasks)

    def over(self, tasks: Collection[str]) -> "Scores":
        """These scores without other tasks than `tasks`."""
        return replace(self, tasks={n: task for n, task in self.tasks.items() if n in tasks})


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of a trial; FLOPs by the paper's rule and by the exact one (METHOD 2).

    `training/throughput.py` derives tokens per second and utilisation.
    """

    tokens: int
    flops_paper: int
    flops_exact: int
    train_s: float
    evaluate_s: float
    peak_bytes: int
    teacher_s: float = 0.0  # spent on writing a cached teacher's answers, for all trials
    held_bytes: int = 0  # before the trial began; of a GPU often none
    expected_bytes: int = 0  # by `specs/memory/`, beside those; 0: not known, or those are not

    @property
    def memory_error(self) -> float | Literal["unknown"]:
        """How much more the trial took than expected, as a share of what was expected."""
        if not self.expected_bytes:
            return "unknown"
        return (self.peak_bytes - self.held_bytes) / self.expected_bytes - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaughtBy:
    """A teacher that is another model than its student's base."""

    name: str  # in tables: `SCALE@AGE`, or `NAME@REVISION` of a checkpoint, with a digest
    model: str  # its scale, its hub id, or the last part of its folder
    revision: str  # or its age
    num_layers: int
    dim: int
    num_params: int
    flops_per_token: int  # of its forward pass


@dataclass(frozen=True, kw_only=True, slots=True)
class CostEstimate:
    """The expected cost of a trial, from before it began; `source` says on what grounds."""

    device_s: float  # training and evaluation, over all its devices
    peak_bytes: int
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """One optimizer step: the tokens seen after it, its mean loss and its learning rate."""

    tokens: int
    loss: float  # nats per token
    lr: float
    num_layers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldoutPoint:
    """Held-out nats per token after `tokens` of training."""

    tokens: int
    nll: float


@dataclass(kw_only=True, slots=True)
class Record:
    """Curves and seconds of one training so far, over all its resumptions, in its checkpoints."""

    curve: list[Progress] = field(default_factory=list)
    heldout_curve: list[HeldoutPoint] = field(default_factory=list)
    train_s: float = 0.0
    evaluate_s: float = 0.0
    teacher_s: float = 0.0
    checkpoint_s: float = 0.0  # for which training stood still, so that it could be saved
    started_s: float = field(default_factory=time.time)  # since 1970; stays after a resumption

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.curve[-1].tokens if self.curve else 0

    def add(self, item: Progress | HeldoutPoint, seconds: float) -> None:
        """Add what the training loop yielded, and the seconds that it took."""
        if isinstance(item, Progress):
            self.curve.append(item)
            self.train_s += seconds
        else:
            self.heldout_curve.append(item)
            self.evaluate_s += seconds

    def up_to(self, item: Progress | HeldoutPoint) -> "Record":
        """The record for a checkpoint right after `item`, without what resuming yields again."""
        if isinstance(item, Progress):
            return self
        return replace(self, heldout_curve=[p for p in self.heldout_curve if p != item])

    def thinned_curve(self, recipe: Recipe) -> tuple[Progress, ...]:
        """At most `MAX_CURVE_POINTS` of the recipe's steps, the last one included.

        Which ones depends on the recipe alone, so a growing curve keeps its points.
        """
        stride = -(-recipe.total_steps // MAX_CURVE_POINTS) * recipe.batch_tokens
        return tuple(p for p in self.curve if (recipe.total_tokens - p.tokens) % stride == 0)


NOT_KNOWN = "not known"  # of a student trained elsewhere, how it was trained
ELSEWHERE = "elsewhere"  # its device


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeBy:
    """The machine that trained a trial; says why bits may differ, never part of its identity."""

    device: str
    world_size: int
    torch: str
    host: str
    owner: str = ""  # who ran it (`storage/owner.py`); empty in results of older versions
    sharding: str = "none"  # of the student over its devices, or "fully"

    @property
    def is_known(self) -> bool:
        """Whether this package trained it: else its training and cost are not known."""
        return self.device != ELSEWHERE


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A finished training, as the store keeps it beside the weights."""

    trial_id: str
    spec: TrialSpec
    model: Model  # of the base
    kept: tuple[int, ...]  # the remaining layers of the base
    weights_sha256: str
    trained_in: str  # the sweep that first requested it
    curve: tuple[Progress, ...]
    heldout_curve: tuple[HeldoutPoint, ...]
    cost: Cost
    made_by: MadeBy
    started_s: float  # seconds since 1970
    ended_s: float
    checkpoint_s: float = 0.0  # of its training, for which it stood still to be saved

    @property
    def removed(self) -> tuple[int, ...]:
        """The layers of the base that left, ascending."""
        return tuple(layer for layer in range(self.model.num_layers) if layer not in self.kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """A trained trial, with the scores of its base (`before`) and its own (`after`)."""

    trained: Trained
    before: Scores
    after: Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFailure:
    """A trial that could not be finished: a “–” with a footnote in every table."""

    trial_id: str
    where: str  # the stage: base, training, evaluation, …
    message: str
    traceback: str
    attempts: int


def loss_of(scores: Iterable[Scores]) -> str:
    """What the held-out loss is of scores that are compared, which is one; perplexity of none."""
    return next((of_model.loss for of_model in scores), PERPLEXITY)


Documents = Mapping[str, UnitScores]


def loss_by_document(documents: Documents) -> UnitScores:
    """The held-out loss among scores by name: nats per target, of either kind."""
    return documents[held_out_loss(documents)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A trial that is not trained or not measured yet: its curves so far.

    `stopped`: a search stopped it there on purpose, and may resume it.
    """

    curve: tuple[Progress, ...] = ()
    heldout_curve: tuple[HeldoutPoint, ...] = ()
    stopped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A trained and evaluated trial, with every score split by document."""

    result: TrialResult
    before: Documents
    after: Documents


Outcome = Finished | Unfinished | TrialFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class NoControl:
    """The sweep has no finished control of this age."""
