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

    mask_share: float = 0.0  # of a window, the masked tokens of perplexity; 0: all that follow

    limit: int = 0  # items of each task, its first ones, for a first look; 0: all

    def tokens_read(self, model: ModelConfig) -> int:
        """The most tokens of a task's request that `model` reads; longer ones lose their start."""
        return min(self.max_length or model.context, model.max_length)

    @property
    def corpus_tasks(self) -> tuple[str, ...]:
        """Those of `tasks` whose items are made of the corpus."""
        own = {source.task for source in self.sources}
        return tuple(name for name in self.tasks if name not in own)

    def source(self, task: str) -> TaskSource | None:
        """The source of the items of `task`; None if they are made of the corpus."""
        return next((source for source in self.sources if source.task == task), None)
