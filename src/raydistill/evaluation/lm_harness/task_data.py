"""The tasks of `--tasks`, with their data by `--task-data` or from the hub, and `--num-fewshot`."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, UsageError
from raydistill.evaluation.lm_harness.answers import check_stated_answer
from raydistill.evaluation.lm_harness.catalogue import (
    check_name,
    has_own_examples,
    named_tasks,
    usual_fewshot,
)
from raydistill.evaluation.lm_harness.paper13 import PAPER13, check_document
from raydistill.evaluation.probing.glue import GLUE, TEST, TRAIN, check_glue, glue_files
from raydistill.evaluation.probing.named import named_probes
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.specs.evaluation import EvalSpec, TaskSource
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

ITEMS, FEWSHOT = "items.jsonl", "fewshot.jsonl"


def requested_evaluation(
    own: EvalSpec,
    tasks: str | None,
    folder: Path | None,
    num_fewshot: int | None,
    store: Store,
    probes: str | None = None,
) -> EvalSpec:
    """A scale's own evaluation, or that of the tasks and probes that were named, with their data.

    Raises:
        UsageError: if a task or a probe is unknown.
        DataError: if `folder` lacks the data of one, or it is broken.
    """
    if tasks is not None:
        own = replace(own, tasks=named_tasks(tasks))
    if probes is not None:
        own = replace(own, probes=named_probes(probes))
    own = replace(own, probe_sources=_probe_sources(own.probes, folder))
    return with_sources(own, folder, store, num_fewshot)


def _probe_sources(probes: Sequence[str], folder: Path | None) -> tuple[TaskSource, ...]:
    """The sources of the probes that have their own data."""
    names = [name for name in probes if name in GLUE]
    if names and folder is None:
        needed = ", ".join(file.name for name in names for file in glue_files(Path(), name))
        raise UsageError(f"--probes {','.join(names)}: name a folder with {needed} by --task-data")
    sources = []
    for name in names:
        assert folder is not None, name
        check_glue(folder, name)
        sha256 = sha256_of_files(glue_files(folder, name))
        sources.append(TaskSource(task=name, data_sha256=sha256))
    return tuple(sources)


def with_sources(
    evaluation: EvalSpec, folder: Path | None, store: Store, num_fewshot: int | None = None
) -> EvalSpec:
    """An evaluation with the data of every task that has its own, as far as it is local.

    Args:
        evaluation: names the tasks.
        folder: `--task-data`; then nothing comes from the hub.
        store: has what was downloaded before.
        num_fewshot: examples before every item of such a task; None: the task's default, none
            for the paper's.

    Raises:
        UsageError: if there is no such task.
        DataError: if `folder` lacks a task, or has no or broken documents for it.
    """
    own = [name for name in evaluation.tasks if not is_text_task(name)]
    for name in evaluation.tasks:
        check_name(name)
    if num_fewshot is not None and not own:
        raise UsageError("--num-fewshot is for tasks with data of their own: --tasks names none")
    shots = {name: usual_fewshot(name) if num_fewshot is None else num_fewshot for name in own}
    if folder is None:
        sha256s = {name: _downloaded_sha256(name, store) for name in own}
    else:
        _check_folder(folder, shots)
        sha256s = {name: sha256_of_files(_files(folder, name)) for name in own}
    sources = [
        TaskSource(task=name, data_sha256=sha256, num_fewshot=shots[name])
        for name, sha256 in sha256s.items()
        if sha256
    ]
    return replace(evaluation, sources=tuple(sources))


def missing_task_data(evaluation: EvalSpec) -> tuple[str, ...]:
    """The tasks whose data has yet to be downloaded from the hub."""
    return tuple(name for name in evaluation.corpus_tasks if not is_text_task(name))


def keep_task_data(evaluation: EvalSpec, folder: Path | None, store: Store) -> None:
    """Copy the data of tasks from `folder` into the store, where workers read it.

    Raises:
        DataError: if a file has changed since the plan was made.
    """
    for source in evaluation.sources:
        if not store.has("task_data", source.data_sha256):
            assert folder is not None, source
            keep_files(_files(folder, source.task), source, store)
    for source in evaluation.probe_sources:
        if not store.has("task_data", source.data_sha256):
            assert folder is not None, source
            keep_files(glue_files(folder, source.task), source, store, (TRAIN, TEST))


def keep_files(
    files: Sequence[Path],
    source: TaskSource,
    store: Store,
    names: Sequence[str] = (ITEMS, FEWSHOT),
) -> None:
    """Copy the files of a task into the store, under `names`; there may be fewer files."""
    with store.making("task_data", source.data_sha256) as draft:
        copies = [draft / name for name in names[: len(files)]]
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
    documents: list[dict[str, Any]] = []
    for number, line in enumerate(file.read_text("utf-8", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            if not isinstance(document, dict):
                raise ValueError("no object with the fields of a document")
            if name in PAPER13:
                check_document(name, document)
            else:
                check_stated_answer(name, document)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}:{number}: {error}") from None
        documents.append(document)
    if not documents:
        raise DataError(f"{file} has no documents: no mean is taken over fewer tasks")
    if name == "mrpc" and not any(int(document["label"]) for document in documents):
        raise DataError(f"{file} has no document with label 1, and F1 counts those")
    return documents


def _check_folder(folder: Path, shots: Mapping[str, int]) -> None:
    """Refuse a folder without documents for a task, or with fewer examples than its shots."""
    if not folder.is_dir():
        raise DataError(f"--task-data {folder.absolute()} is no folder")
    needed = [f"{name}.jsonl" for name in shots]
    needed += [f"{name}.{FEWSHOT}" for name in shots if shots[name] and not has_own_examples(name)]
    if missing := [file for file in needed if not folder.joinpath(file).is_file()]:
        files = ", ".join(sorted(file.name for file in folder.glob("*.jsonl"))) or "no .jsonl"
        raise DataError(f"--task-data {folder.absolute()} lacks {', '.join(missing)}; has {files}")
    for name, num_shots in shots.items():
        for file in _files(folder, name):
            size = len(read_documents(file, name))
            if file.name.endswith(FEWSHOT) and size < num_shots:
                raise DataError(
                    f"{file} has {size} documents, {num_shots} are shown before every item"
                )


def _files(folder: Path, name: str) -> list[Path]:
    files = (folder / f"{name}.jsonl", folder / f"{name}.{FEWSHOT}")
    return [file for file in files if file.is_file()]


def sha256_of_files(files: Sequence[Path]) -> str:
    """The sha256 of one file, or that of the sha256s of several."""
    sha256s = [sha256_of(file) for file in files]
    return sha256s[0] if len(files) == 1 else hashlib.sha256("".join(sha256s).encode()).hexdigest()


def _downloaded_sha256(name: str, store: Store) -> str:
    """The sha256 of the data that came from the hub; empty if none did."""
    source = store.load(TaskSource, "task_data", "hub", f"{name}.json")
    return source.data_sha256 if source else ""
