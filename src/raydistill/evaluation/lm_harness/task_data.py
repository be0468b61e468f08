"""What `--tasks`, `--task-data` and `--num-fewshot` ask for: text becomes what is measured."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, UsageError
from raydistill.evaluation.lm_harness.catalogue import (
    check_name,
    has_own_examples,
    named_tasks,
    usual_fewshot,
)
from raydistill.evaluation.lm_harness.paper13 import PAPER13, check_document
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.specs.evaluation import EvalSpec, TaskSource
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store


def requested_evaluation(
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


ITEMS, FEWSHOT = "items.jsonl", "fewshot.jsonl"


def with_sources(
    evaluation: EvalSpec, folder: Path | None, store: Store, num_fewshot: int | None = None
) -> EvalSpec:
    """The same with the data of every task that has its own, as far as it is here.

    Args:
        evaluation: whose tasks.
        folder: `--task-data`; then nothing comes from the hub.
        store: has what earlier came from there.
        num_fewshot: examples before every item of such a task; None: as many as it says
            itself, none for the paper's.

    Raises:
        UsageError: if there is no such task.
        DataError: if `folder` lacks a task, or has no or broken documents for it.
    """
    own = [name for name in evaluation.tasks if not is_text_task(name)]
    for name in own:
        check_name(name)
    if num_fewshot is not None and not own:
        raise UsageError("--num-fewshot is for tasks with data of their own: --tasks names none")
    shots = {name: usual_fewshot(name) if num_fewshot is None else num_fewshot for name in own}
    if folder is None:
        found = {name: _fetched(name, store) for name in own}
    else:
        _check_folder(folder, shots)
        found = {name: sha256_of_files(_files(folder, name)) for name in own}
    sources = [
        TaskSource(task=name, data_sha256=sha256, num_fewshot=shots[name])
        for name, sha256 in found.items()
        if sha256
    ]
    return replace(evaluation, sources=tuple(sources))


def missing_task_data(evaluation: EvalSpec) -> tuple[str, ...]:
    """The tasks whose data has still to come from the hub."""
    return tuple(name for name in evaluation.corpus_tasks if not is_text_task(name))


def keep_task_data(evaluation: EvalSpec, folder: Path | None, store: Store) -> None:
    """Copy from `folder` into the store what it lacks of the data: workers read it there.

    Raises:
        DataError: if a file has changed since the plan was made.
    """
    for source in evaluation.sources:
        if not store.has("task_data", source.data_sha256):
            assert folder is not None, source
            keep_files(_files(folder, source.task), source, store)


def keep_files(files: Sequence[Path], source: TaskSource, store: Store) -> None:
    """Copy the items of a task, and its few-shot examples if there are any, into the store."""
    with store.making("task_data", source.data_sha256) as draft:
        copies = [draft / name for name in (ITEMS, FEWSHOT)[: len(files)]]
        for file, copy in zip(files, copies, strict=True):
            shutil.copyfile(file, copy)
        if sha256_of_files(copies) != source.data_sha256:
            raise DataError(f"{files[0]} has changed meanwhile: start again")


def data_folder(source: TaskSource, store: Store) -> Path:
    """Where the store has the data of a task."""
    return store.path("task_data", source.data_sha256)


def read_documents(file: Path, name: str) -> list[dict[str, Any]]:
    """The documents of task `name` in a JSONL file, every one checked.

    Raises:
        DataError: naming file and line of a broken one, or if there is none.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(file.read_text("utf-8", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            if not isinstance(document, dict):
                raise ValueError("no object with the fields of a document")
            if name in PAPER13:
                check_document(name, document)
        except ValueError as error:
            raise DataError(f"{file}:{number}: {error}") from None
        found.append(document)
    if not found:
        raise DataError(f"{file} has no documents: no mean is taken over fewer tasks")
    if name == "mrpc" and not any(int(document["label"]) for document in found):
        raise DataError(f"{file} has no document with label 1, and F1 counts those")
    return found


def _check_folder(folder: Path, shots: Mapping[str, int]) -> None:
    """Every task has documents in `folder`, and enough to show before, by task how many."""
    if not folder.is_dir():
        raise DataError(f"--task-data {folder.absolute()} is no folder")
    wanted = [f"{name}.jsonl" for name in shots]
    wanted += [
        f"{n}.fewshot.jsonl" for n, shown in shots.items() if shown and not has_own_examples(n)
    ]
    if missing := [file for file in wanted if not folder.joinpath(file).is_file()]:
        there = ", ".join(sorted(file.name for file in folder.glob("*.jsonl"))) or "no .jsonl"
        raise DataError(f"--task-data {folder.absolute()} lacks {', '.join(missing)}; has {there}")
    for name, shown in shots.items():
        for file in _files(folder, name):
            size = len(read_documents(file, name))
            if file.name.endswith(FEWSHOT) and size < shown:
                raise DataError(f"{file} has {size} documents, {shown} are shown before every item")


def _files(folder: Path, name: str) -> list[Path]:
    files = (folder / f"{name}.jsonl", folder / f"{name}.{FEWSHOT}")
    return [file for file in files if file.is_file()]


def sha256_of_files(files: Sequence[Path]) -> str:
    """Of one file, or of the sha256s of several."""
    each = [sha256_of(file) for file in files]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def _fetched(name: str, store: Store) -> str:
    """The data that came from the hub; empty if none did."""
    source = store.load(TaskSource, "task_data", "hub", f"{name}.json")
    return source.data_sha256 if source else ""
