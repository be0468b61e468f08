"""The labelled items of a probe on disk: made from the corpus the first time they are needed.

`items/<corpus_sha256>/probe-<name>-<identity>.jsonl` has one item a line, and none where the
corpus lacks what the probe is made of: then it is not measured there. Items of a probe with data
of its own (`glue.py`) lie in `task_data/`.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.core.parts import PROBE
from raydistill.core.serialization import digest, from_json
from raydistill.evaluation.probing.glue import GLUE, GLUE_TEST, GLUE_TRAIN, read_glue
from raydistill.evaluation.probing.labelled_items import (
    LabelledItem,
    ProbeItems,
    choose_items,
    num_labels,
)
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.part_identity import part_identity
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store

ITEMS_VERSION = 1  # raised when the same text would give other items than before

TRAIN_ITEMS, TEST_ITEMS = 1_024, 480


def sizes_of(name: str) -> tuple[int, int]:
    """How many items a probe has at most, to train on and to test on."""
    return (GLUE_TRAIN, GLUE_TEST) if name in GLUE else (TRAIN_ITEMS, TEST_ITEMS)


def make_items(names: Iterable[str], *, store: Store, folder: Path) -> dict[str, Path]:
    """The file of items of each probe that is made of text; those that the store lacks are made.

    Args:
        names: of the probes.
        store: keeps items. Two processes that make the same file make the same bytes.
        folder: the corpus that they are made of.

    Raises:
        UsageError: if there is no such probe.
        DataError: if the corpus has items for none of them.
    """
    corpus = from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))
    files = item_files(names, corpus.corpus_sha256, store)
    if missing := [name for name, file in files.items() if not file.is_file()]:
        for name, items in _items(missing, folder).items():
            write_text(files[name], items)
    if files and len(without_items(files, corpus.corpus_sha256, store)) == len(files):
        raise DataError(
            f"the corpus {corpus.name!r} has no items for probe {', '.join(files)}: add text, or "
            "name other --probes, or none"
        )
    return files


def item_files(names: Iterable[str], corpus_sha256: str, store: Store) -> dict[str, Path]:
    """The path of the items of each probe, made or not.

    Raises:
        UsageError: if there is no such probe.
    """
    by_name = {}
    for name in names:
        identity = digest([ITEMS_VERSION, part_identity(PROBE, name)])
        by_name[name] = store.path("items", corpus_sha256, f"probe-{name}-{identity}.jsonl")
    return by_name


def without_items(names: Iterable[str], corpus_sha256: str, store: Store) -> tuple[str, ...]:
    """The probes that cannot be made of a corpus, as far as that was tried.

    Raises:
        UsageError: if there is no such probe.
    """
    files = item_files(names, corpus_sha256, store)
    return tuple(n for n, file in files.items() if file.is_file() and not file.stat().st_size)


def read_items(name: str, corpus_sha256: str, spec: EvalSpec, store: Store) -> ProbeItems:
    """The items of a probe, which were made before.

    Raises:
        UsageError: if there is no such probe.
    """
    if source := spec.probe_source(name):
        return read_glue(name, store.path("task_data", source.data_sha256))
    text = item_files([name], corpus_sha256, store)[name].read_text(encoding="utf-8")
    sides = sides_of(text)
    tested = {item.label for item in sides["test"]}  # as many of each
    return ProbeItems(labels=num_labels(name), chance=1 / len(tested), **sides)


def text_of(sides: Mapping[str, Sequence[LabelledItem]]) -> str:
    """The contents of a file of items: those to train on and those to test on, by these names."""
    return "\n".join(
        json.dumps({"side": side, **dataclasses.asdict(item)})
        for side, items in sides.items()
        for item in items
    )


def sides_of(text: str) -> dict[str, list[LabelledItem]]:
    """The items in a file, as `text_of` wrote it."""
    sides: dict[str, list[LabelledItem]] = {"train": [], "test": []}
    for line in text.split("\n"):
        fields: dict[str, Any] = json.loads(line)
        of_side = sides[fields.pop("side")]
        of_side.append(LabelledItem(**{**fields, "texts": tuple(fields["texts"])}))
    return sides


def _items(names: Iterable[str], folder: Path) -> dict[str, str]:
    from raydistill.data.passages import read_passages  # noqa: PLC0415  (imports numpy)

    train, heldout = read_passages(folder)
    by_name = {}
    for name in names:
        sides = {
            "train": choose_items(name, train, TRAIN_ITEMS),
            "test": choose_items(name, heldout, TEST_ITEMS),
        }
        by_name[name] = text_of(sides) if all(sides.values()) else ""
    return by_name
