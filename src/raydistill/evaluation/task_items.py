"""The items of a task on disk: made from the corpus the first time that they are needed.

`items/<corpus_sha256>/<task>-<identity>.jsonl` has one item a line; the identity is that of the
task's code. So a task may be added, or edited, without touching the corpus.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.parts import TASK
from raydistill.core.serialization import from_json
from raydistill.data.documents import Document
from raydistill.evaluation.text_tasks import Item, choose_items
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.part_identity import part_identity
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store


def make_items(names: Iterable[str], *, store: Store, folder: Path) -> dict[str, Path]:
    """The file of items of each task; those that the store lacks are made.

    Args:
        names: of the tasks.
        store: keeps items. Two processes that make the same file make the same bytes.
        folder: the corpus whose held-out text the items are made of.

    Raises:
        UsageError: if there is no such task.
        DataError: if the held-out text is too short for a single item of one.
    """
    corpus = from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))
    files = item_files(names, corpus.corpus_sha256, store)
    if missing := [name for name, file in files.items() if not file.is_file()]:
        for name, items in _items(missing, corpus, folder).items():
            lines = (json.dumps(dataclasses.asdict(item)) for item in items)
            write_text(files[name], "\n".join(lines))
    return files


def item_files(names: Iterable[str], corpus_sha256: str, store: Store) -> dict[str, Path]:
    """The path of the items of each task, made or not.

    Raises:
        UsageError: if there is no such task.
    """
    return {
        name: store.path("items", corpus_sha256, f"{name}-{part_identity(TASK, name)}.jsonl")
        for name in names
    }


def _items(names: Iterable[str], corpus: CorpusInfo, folder: Path) -> dict[str, list[Item]]:
    from raydistill.data.corpus.heldout_documents import read_documents  # noqa: PLC0415  (imports numpy)

    return items_of(names, read_documents(folder), corpus.name)


def items_of(
    names: Iterable[str], documents: Sequence[Document], corpus: str
) -> dict[str, list[Item]]:
    """The items of tasks by name, made of held-out documents.

    Raises:
        UsageError: if there is no such task.
        DataError: if the documents are too short for a single item of one.
    """
    items = {name: choose_items(name, documents) for name in names}
    for name, of_task in items.items():
        if not of_task:
            words = sum(len(document.text.split()) for document in documents)
            raise DataError(
                f"the corpus {corpus!r} has no items for task {name!r}: its held-out text is too "
                f"short ({words} words in {len(documents)} documents); add text, name other text "
                "to measure on with --heldout, or other --tasks"
            )
    return items
