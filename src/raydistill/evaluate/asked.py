"""What `--tasks`, `--task-data` and `--num-fewshot` ask for: text becomes what is measured."""

import re
from dataclasses import replace
from pathlib import Path

from raydistill.errors import UsageError
from raydistill.evaluate.catalogue import named_tasks
from raydistill.evaluate.task_data import with_sources
from raydistill.spec import EvalSpec
from raydistill.store import Store


def asked_evaluation(
    own: EvalSpec, tasks: str | None, folder: Path | None, num_fewshot: str | None, store: Store
) -> EvalSpec:
    """A scale's own evaluation, or that of the tasks that were named, with their data.

    Raises:
        UsageError: if a task is unknown, or `num_fewshot` no number.
        DataError: if `folder` lacks the data of a task, or it is broken.
    """
    if tasks is not None:
        own = replace(own, tasks=named_tasks(tasks))
    if num_fewshot is None:
        return with_sources(own, folder, store)
    if not re.fullmatch(r"\d{1,3}", num_fewshot):
        raise UsageError(f"--num-fewshot {num_fewshot!r}: a whole number from 0 on")
    return with_sources(own, folder, store, int(num_fewshot))
