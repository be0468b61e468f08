"""What a model is measured by."""

from collections.abc import Iterable
from dataclasses import dataclass

from raydistill.specs.model import ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSource:
    """A task with items of its own, not made of the corpus; `data_sha256` names their copy."""

    task: str
    data_sha256: str
    num_fewshot: int = 0  # examples before every item


def score_name(task: str, limit: int) -> str:
    """The name of a task's score everywhere: that of some items is never taken for that of all.

    >>> score_name("boolq", 0), score_name("boolq", 10), plain_task("boolq first 10")
    ('boolq', 'boolq first 10', 'boolq')
    """
    return f"{task} first {limit}" if limit else task


def item_limit(names: Iterable[str]) -> int:
    """The limit in the names of scores; 0 where all items were scored."""
    limits = (int(name.partition(" first ")[2] or 0) for name in names)
    return max(limits, default=0)


def plain_task(name: str) -> str:
    """The task of a score's name."""
    return name.partition(" first ")[0]


PERPLEXITY = "perplexity"
MASKED_PERPLEXITY = "masked-perplexity"  # of hidden tokens, told from both sides
ASSISTANT_PERPLEXITY = "assistant-perplexity"  # of what the assistant says in conversations

LOSSES = (PERPLEXITY, MASKED_PERPLEXITY, ASSISTANT_PERPLEXITY)
_WORDS = {ASSISTANT_PERPLEXITY: "perplexity of the assistant's turns"}


def held_out_loss(names: Iterable[str]) -> str:
    """The held-out loss among names of scores.

    >>> held_out_loss(["boolq", "masked-perplexity"])
    'masked-perplexity'
    """
    return next(name for name in names if name in LOSSES)


def metric_of(metric: str, loss: str) -> str:
    """The name of a metric or a column, where it speaks of perplexity, for a held-out loss.

    >>> metric_of("perplexity_drop_pct", PERPLEXITY), metric_of("perplexity", MASKED_PERPLEXITY)
    ('perplexity_drop_pct', 'masked_perplexity')
    """
    return metric.replace(PERPLEXITY, loss.replace("-", "_"))


def loss_of_metrics(metrics: Iterable[str]) -> str:
    """The held-out loss that the names of metrics speak of.

    >>> loss_of_metrics(["nll", "masked_perplexity"]), loss_of_metrics(["perplexity_drop_pct"])
    ('masked-perplexity', 'perplexity')
    """
    names = " ".join(metrics)
    others = (loss for loss in LOSSES if loss != PERPLEXITY)
    return next((loss for loss in others if metric_of(PERPLEXITY, loss) in names), PERPLEXITY)


def words_of(text: str, loss: str) -> str:
    """The same of words that people read.

    >>> words_of("held-out perplexity", MASKED_PERPLEXITY)
    'held-out masked perplexity'
    """
    return text.replace(PERPLEXITY, _WORDS.get(loss, loss.replace("-", " ")))


PRETRAINED, FRESH = "pretrained", "fresh"  # what a probe's fine-tuning starts from
STARTS = (PRETRAINED, FRESH)


def probe_score(probe: str, start: str, seed: int) -> str:
    """The name of a probe's accuracy, fine-tuned from the pretrained or from fresh weights.

    >>> probe_score("paraphrase", FRESH, 1), read_probe_score("paraphrase fresh 1")
    ('paraphrase fresh 1', ('paraphrase', 'fresh', 1))
    """
    return f"{probe} {start} {seed}"


def read_probe_score(name: str) -> tuple[str, str, int]:
    """The probe, the start and the seed in the name of a probe's accuracy."""
    probe, start, seed = name.rsplit(" ", 2)
    return probe, start, int(seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSpec:
    """What is measured; never part of a trial's identity."""

    tasks: tuple[str, ...]
    heldout_windows: int  # for perplexity, spread over all held-out documents
    curve_windows: int  # for each held-out point of the training curve
    sources: tuple[TaskSource, ...] = ()  # of those of `tasks` that have their own data
    general: str = ""  # a second held-out text (`data/corpus/general_heldout.py`); empty: none
    max_length: int = 0  # tokens of a task's request, at most; 0: a training window's
    reading: str = ""  # of the tokenizer (`request_tokenizer.py`); empty: by its tokenizer.json

    mask_share: float = 0.0  # of a window, the hidden tokens of the loss; 0: of all that follow

    assistant: bool = False  # whether the loss is of the assistant's turns in conversations

    limit: int = 0  # items of each task, its first ones, for a first look; 0: all

    probes: tuple[str, ...] = ()  # that copies of a base are fine-tuned on
    probe_seeds: int = 3  # of fine-tuning, from 1 on
    probe_sources: tuple[TaskSource, ...] = ()  # of those of `probes` that have their own data

    def tokens_read(self, model: ModelConfig) -> int:
        """The most tokens of a task's request that `model` reads; longer ones lose their start."""
        return min(self.max_length or model.context, model.max_length)

    @property
    def loss(self) -> str:
        """The name of the held-out loss: a perplexity, that of hidden tokens, or of some turns."""
        if self.assistant:
            return ASSISTANT_PERPLEXITY
        return MASKED_PERPLEXITY if self.mask_share else PERPLEXITY

    @property
    def corpus_tasks(self) -> tuple[str, ...]:
        """Those of `tasks` whose items are made of the corpus."""
        own = {source.task for source in self.sources}
        return tuple(name for name in self.tasks if name not in own)

    @property
    def corpus_probes(self) -> tuple[str, ...]:
        """Those of `probes` whose items are made of the corpus."""
        return tuple(name for name in self.probes if self.probe_source(name) is None)

    @property
    def probe_scores(self) -> tuple[str, ...]:
        """The names of all accuracies of probes."""
        seeds = range(1, self.probe_seeds + 1)
        return tuple(
            probe_score(probe, start, seed)
            for probe in self.probes
            for start in STARTS
            for seed in seeds
        )

    def probe_source(self, probe: str) -> TaskSource | None:
        """The source of the items of `probe`; None if they are made of the corpus."""
        return next((source for source in self.probe_sources if source.task == probe), None)

    def source(self, task: str) -> TaskSource | None:
        """The source of the items of `task`; None if they are made of the corpus."""
        return next((source for source in self.sources if source.task == task), None)
