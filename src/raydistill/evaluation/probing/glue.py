"""Tasks of GLUE as probes, by `--task-data` and in the original's field names.

A folder has `glue-cola.train.jsonl` and `glue-cola.validation.jsonl`, and so on: the first 4,096
lines of the one are trained on, the first 1,024 of the other tested on. The score is the accuracy
of all, also where GLUE has another one (CoLA, MRPC, QQP). STS-B, a regression, is none of them.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.evaluation.probing.labelled_items import LabelledItem, ProbeItems

GLUE_TRAIN, GLUE_TEST = 4_096, 1_024
TRAIN, TEST = "train.jsonl", "test.jsonl"  # in the store


@dataclass(frozen=True, slots=True)
class GlueTask:
    """The fields of a task, and the split that it is tested on; `data` is whose files it reads."""

    fields: tuple[str, ...]
    labels: int = 2
    test: str = "validation"
    data: str = ""


_PAIR = ("sentence1", "sentence2")
_NLI = ("premise", "hypothesis")
GLUE: Mapping[str, GlueTask] = {
    "glue-cola": GlueTask(("sentence",)),
    "glue-sst2": GlueTask(("sentence",)),
    "glue-mrpc": GlueTask(_PAIR),
    "glue-qqp": GlueTask(("question1", "question2")),
    "glue-qnli": GlueTask(("question", "sentence")),
    "glue-mnli": GlueTask(_NLI, 3, "validation_matched"),
    "glue-mnli-mismatched": GlueTask(_NLI, 3, "validation_mismatched", "glue-mnli"),
    "glue-rte": GlueTask(_PAIR),
    "glue-wnli": GlueTask(_PAIR),
}


def glue_files(folder: Path, name: str) -> list[Path]:
    """The files to train on and to test on, of a folder given by `--task-data`."""
    task = GLUE[name]
    return [folder / f"{task.data or name}.{split}.jsonl" for split in ("train", task.test)]


def check_glue(folder: Path, name: str) -> None:
    """Refuse a folder without the files of a task, or with a broken line in what is read of them.

    Raises:
        DataError: naming the file, and the line of a broken one.
    """
    files = glue_files(folder, name)
    if missing := [file.name for file in files if not file.is_file()]:
        there = ", ".join(sorted(file.name for file in folder.glob("*.jsonl"))) or "no .jsonl"
        raise DataError(f"--task-data {folder.absolute()} lacks {', '.join(missing)}; has {there}")
    for file, most in zip(files, (GLUE_TRAIN, GLUE_TEST), strict=True):
        if len({item.label for item in islice(_items(file, name), most)}) < 2:
            raise DataError(f"{file}: its first {most:,} lines have fewer than two labels")


def read_glue(name: str, folder: Path) -> ProbeItems:
    """The items of a task from its folder in the store; every one is a document of its own."""
    train, test = (
        list(islice(_items(folder / file, name), most))
        for file, most in ((TRAIN, GLUE_TRAIN), (TEST, GLUE_TEST))
    )
    commonest = Counter(item.label for item in test).most_common(1)[0][1]
    return ProbeItems(
        train=train, test=test, labels=GLUE[name].labels, chance=commonest / len(test)
    )


def _items(file: Path, name: str) -> Iterator[LabelledItem]:
    """The items in a file, each checked."""
    task = GLUE[name]
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file}:{number}: {error}") from None
            row = row if isinstance(row, dict) else {}
            texts = tuple(str(row[field]) for field in task.fields if row.get(field))
            if len(texts) < len(task.fields):
                raise DataError(f"{file}:{number}: needs text in {' and '.join(task.fields)}")
            label = row.get("label")
            if type(label) is not int or not 0 <= label < task.labels:
                raise DataError(
                    f"{file}:{number}: label is {label!r}, it must be 0 to {task.labels - 1}"
                )
            yield LabelledItem(unit=f"{name} {number}", texts=texts, label=label)
