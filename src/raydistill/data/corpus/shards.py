"""The training text of a corpus in shards: each tokenised by itself, in any order, on any node.

A shard is some consecutive documents of one file. It is named by its place and lies in its draft,
which is named by all that decides the text. It counts once its `.json` is there, the last written.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.core.serialization import from_json, to_json
from raydistill.data.corpus.draft import Draft, opened, training
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import encode, load_tokenizer
from raydistill.storage.manifest import write_bytes, write_text
from raydistill.storage.store import Store

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from raydistill.data.documents import Hashes


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A file of a corpus that is being made: enough to find it from another node."""

    wanted: CorpusRequest
    storage: str
    folder: str  # of the draft
    source: int
    file: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive training documents of one file, and where they belong."""

    place: str  # source-file-number
    texts: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedShard:
    """A shard that was tokenised."""

    lengths: tuple[int, ...]  # tokens of each document, its end-of-text too
    repeats: tuple[int, ...]  # which runs of the held-out text it has, by position


def files_of_draft(wanted: CorpusRequest, folder: Path, store: Store) -> list[FileSlice]:
    """Every file of a corpus, in order."""
    return [
        FileSlice(wanted, str(store.root), str(folder), source, file)
        for source, files in enumerate(opened(wanted, store))
        for file in range(len(files))
    ]


def read_shards(of: FileSlice) -> Iterator[Shard]:
    """The shards of a file, in order."""
    folder = Path(of.folder)
    draft = from_json(Draft, (folder / "draft.json").read_text(encoding="utf-8"))
    file = opened(of.wanted, Store(Path(of.storage)))[of.source][of.file]
    held = frozenset(draft.held[of.source])
    texts: list[str] = []
    size, number = 0, 0
    for document in training(file, held):
        texts.append(document.text)
        size += len(document.text)
        if size >= draft.shard_characters:
            yield Shard(f"{of.source}-{of.file}-{number}", texts)
            texts, size, number = [], 0, number + 1
    if texts:
        yield Shard(f"{of.source}-{of.file}-{number}", texts)


def is_made(folder: Path, place: str) -> bool:
    """Whether a shard was tokenised."""
    return (folder / f"{place}.json").is_file()


def read_made(folder: Path, place: str) -> FinishedShard:
    """What is known of a shard that was tokenised."""
    return from_json(FinishedShard, (folder / f"{place}.json").read_text(encoding="utf-8"))


def make_shard(folder: Path, shard: Shard) -> None:
    """Tokenise a shard: `<place>.bin`, then `<place>.json`. The second to come changes nothing."""
    from raydistill.data.corpus.decontamination import repeated_runs  # noqa: PLC0415  (numpy)

    tokenizer, runs, end = _tools(folder)
    encoded = encode(shard.texts, tokenizer, end)
    made = FinishedShard(
        lengths=tuple(last - first + 1 for first, last in encoded.spans),
        repeats=tuple(repeated_runs(runs, shard.texts)),
    )
    write_bytes(folder / f"{shard.place}.bin", encoded.data)
    write_text(folder / f"{shard.place}.json", to_json(made))


@functools.lru_cache(maxsize=1)
def _tools(folder: Path) -> "tuple[Tokenizer, Hashes, int]":
    """What a process needs for every shard of a draft: tokenizer, held-out runs, end-of-text."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    draft = from_json(Draft, (folder / "draft.json").read_text(encoding="utf-8"))
    runs: Hashes = np.load(folder / "runs.npy")
    return load_tokenizer(folder / "tokenizer.json"), runs, draft.end_of_text_id
