"""What a model is measured by."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSource:
    """The items of a task that is not made of the corpus; `data_sha256` names their copy."""

    task: str
    data_sha256: str
    num_fewshot: int = 0  # examples before every item


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSpec:
    """What is measured; never part of a trial's identity."""

    tasks: tuple[str, ...]
    heldout_windows: int  # perplexity, spread over all held-out documents
    curve_windows: int  # the same, for the held-out points of the curve
    sources: tuple[TaskSource, ...] = ()  # of those of `tasks` that have their own data
    general: str = ""  # a second text to measure on (`data/corpus/general_heldout.py`); empty: none

    @property
    def corpus_tasks(self) -> tuple[str, ...]:
        """Those of `tasks` whose items are made of the corpus."""
        own = {source.task for source in self.sources}
        return tuple(name for name in self.tasks if name not in own)

    def source(self, task: str) -> TaskSource | None:
        """Where the items of `task` come from, if they are not made of the corpus."""
        return next((source for source in self.sources if source.task == task), None)
