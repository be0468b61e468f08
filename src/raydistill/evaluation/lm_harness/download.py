"""The data of tasks from the Hugging Face hub, kept in the store as JSONL like one's own."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import load_dataset

from raydistill.core.errors import DataError
from raydistill.evaluation.lm_harness.catalogue import lm_eval_tasks
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import (
    FEWSHOT,
    ITEMS,
    keep_files,
    read_documents,
    sha256_of_files,
)
from raydistill.specs.evaluation import TaskSource
from raydistill.storage.store import Store

MOST_EXAMPLES = 1_000  # that few-shot examples are drawn from


def download_task_data(names: Sequence[str], store: Store) -> None:
    """Download the data of tasks from the hub into the store.

    Raises:
        DataError: naming every task whose data cannot be had.
    """
    failed: dict[str, str] = {}
    for name in names:
        try:
            _save(name, _splits(name), store)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  (datasets and its transports raise anything)
            failed[name] = f"{type(error).__name__}: {error}"
    if failed:
        files = ", ".join(f"{name}.jsonl" for name in failed)
        raise DataError(
            f"no local data for {', '.join(failed)}, and the hub does not give it "
            f"({next(iter(failed.values()))[:200]}): name a folder with {files} by --task-data"
        )


def _splits(name: str) -> list[Iterable[dict[str, Any]]]:
    """The documents to score, and those that few-shot examples are drawn from."""
    if name in PAPER13:
        path, configuration, split = PAPER13[name].hub
        dataset = load_dataset(path, configuration or None)
        return [dataset[split], dataset["train"]]
    from lm_eval.tasks._yaml_loader import load_yaml  # noqa: PLC0415

    config = load_yaml(lm_eval_tasks()[name], resolve_func=True)
    settings = dict(config.get("dataset_kwargs") or {})
    settings.pop("trust_remote_code", None)
    dataset = load_dataset(config["dataset_path"], config.get("dataset_name"), **settings)
    scored = config.get("test_split") or config.get("validation_split")
    fewshot = config.get("fewshot_split") or config.get("training_split")
    return [dataset[split] for split in (scored, fewshot) if split]


def _save(name: str, splits: Sequence[Iterable[dict[str, Any]]], store: Store) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, file) for file in (ITEMS, FEWSHOT)[: len(splits)]]
        for file, documents, most in zip(files, splits, (None, MOST_EXAMPLES), strict=False):
            file.write_text("\n".join(map(json.dumps, islice(documents, most))), "utf-8")
        read_documents(files[0], name)
        source = TaskSource(task=name, data_sha256=sha256_of_files(files))
        keep_files(files, source, store)
        store.save(source, "task_data", "hub", f"{name}.json")
