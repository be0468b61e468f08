"""Runs of a sweep over shapes: each is one pretraining, and every age of it a point (METHOD 9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from raydistill.specs.results import UnitScores
from raydistill.specs.shape.run_settings import is_of_run

CAUSAL, MASKED = "causal", "masked"
OFF_PLATEAU = 0.2  # nats below the unigram line from which a model knows more than frequencies

PAPER, HONEY, EXACT = "paper", "honey", "exact"
RULES = {PAPER: "6·N·D", HONEY: "Honey's", EXACT: "exact"}  # of counting FLOPs, as tables say


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Shape:
    """What may differ between the models of a sweep; `feed_forward` and `embedding` are widths."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    embedding: int


AXES = tuple(one.name for one in fields(Shape))


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """What runs were trained and measured on.

    Attributes:
        name: of the text.
        words: how many different ones it has; 0: not known.
        unigram_nats: per target, of a model that knows frequencies only; None: not known. Of a
            masked run that of the very tokens that its loss is of, unless `line_of_all`.
        line_of_all: whether a masked run's line is that of all held-out tokens, as an older
            version counted it.
        bits_per_nat: bits per byte of held-out text for each nat per token; 0: not known.
    """

    name: str
    words: int = 0
    unigram_nats: float | None = None
    bits_per_nat: float = 0.0
    line_of_all: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPoint:
    """A run at one age.

    Attributes:
        name: `SCALE@AGE`.
        tokens: seen so far.
        nats: held-out loss per target, by document.
        flops: of the training so far, by rule.
        tasks: zero-shot scores by task.
        probes: accuracies of probes, by `specs.evaluation.probe_score`; at the oldest age alone.
    """

    name: str
    tokens: int
    nats: UnitScores
    flops: Mapping[str, float]
    tasks: Mapping[str, UnitScores] = field(default_factory=dict)
    probes: Mapping[str, UnitScores] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Held-out nats per target."""
        return self.nats.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One pretraining.

    Attributes:
        name: of its scale.
        shape: of its model.
        parameters: all.
        non_embedding: without embeddings and head.
        objective: `causal` or `masked`, with its share where it is not the usual one.
        text: what it reads.
        points: its ages, the youngest first; one at least.
    """

    name: str
    shape: Shape
    parameters: int
    non_embedding: int
    objective: str
    text: Text
    points: tuple[RunPoint, ...]

    @property
    def oldest(self) -> RunPoint:
        """The last point."""
        return self.points[-1]

    @property
    def recipe(self) -> tuple[str, ...]:
        """What its name says of its pretraining beside the scale's own recipe."""
        return tuple(filter(is_of_run, self.name.split("+")))

    @property
    def group(self) -> tuple[str, str]:
        """Runs of one objective and text have losses that compare."""
        return self.objective, self.text.name

    def is_off_plateau(self, point: RunPoint) -> bool:
        """Whether a point knows more than frequencies; no, where their line is not known."""
        line = self.text.unigram_nats
        return line is not None and point.loss <= line - OFF_PLATEAU

    @property
    def left_at(self) -> RunPoint | None:
        """The first point that is off the plateau; None if no age is."""
        return next((point for point in self.points if self.is_off_plateau(point)), None)


def groups(runs: Sequence[Run]) -> dict[tuple[str, str], tuple[Run, ...]]:
    """Runs by objective and text: causal ones first, then those with the most runs.

    Of as many, the text of the most words, as in a ladder of texts: one of which they were not
    counted is long.
    """
    by_group: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_group.setdefault(run.group, []).append(run)

    def order(group: tuple[str, str]) -> tuple[bool, int, bool, int, tuple[str, str]]:
        of, words = by_group[group], by_group[group][0].text.words
        return group[0] != CAUSAL, -len(of), words > 0, -words, group

    return {group: tuple(by_group[group]) for group in sorted(by_group, key=order)}


def at_equal_tokens(runs: Sequence[Run]) -> dict[str, RunPoint]:
    """The point of each run, by its name, at the most tokens that all of them have; else none."""
    if not runs:
        return {}
    shared = set.intersection(*({point.tokens for point in run.points} for run in runs))
    if not shared:
        return {}
    tokens = max(shared)
    return {run.name: next(p for p in run.points if p.tokens == tokens) for run in runs}
