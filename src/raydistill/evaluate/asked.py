"""What `--tasks`, `--task-data` and `--num-fewshot` ask for: text becomes what is measured."""

from dataclasses import replace
from pathlib import Path

from raydistill.evaluate.catalogue import named_tasks
from raydistill.evaluate.task_data import with_sources
from raydistill.spec import EvalSpec
from raydistill.store import Store


def asked_evaluation(
    own: EvalSpec, tasks: str | None, folder: Path | None, num_fewshot: int | None, store: Store
) -> EvalSpec:
    """A scale's own evaluation, or that of the tasks that were named, with their data.

    Raises:
        UsageError: if a task is unknown.
        DataError: if `folder` lacks the data of a task, or it is broken.
    """
    if tasks is not None:
        own = replace(own, tasks=named_tasks(tasks))
    return with_sources(own, folder, store, num_fewshot)
