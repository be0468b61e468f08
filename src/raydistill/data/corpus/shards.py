"""The training text of a corpus in shards, which are tokenised in any order, on any node.

A shard is some consecutive documents of one file. Its files lie in the folder of the draft, under
`<source>-<file>-<number>`; it counts once its `.json` exists, which is written last.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.core.serialization import from_json, to_json
from raydistill.data.conversations.encoding import encode_conversations
from raydistill.data.corpus.draft import open_sources, read_draft, training_documents
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.documents import Document
from raydistill.data.text_beginning import begin_ids
from raydistill.data.tokenizer import Encoded, encode, load_tokenizer
from raydistill.storage.manifest import write_bytes, write_text
from raydistill.storage.store import Store

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from raydistill.data.documents import Hashes


Turns = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A file of a corpus in preparation: enough to open it on another node."""

    request: CorpusRequest
    storage: str
    folder: str  # of the draft
    source: int
    file: int
    num_bytes: int  # about


@dataclass(frozen=True, slots=True)
class Shard:
    """The name and the texts of a shard."""

    place: str  # source-file-number
    texts: list[str]
    assistant: list[Turns] = field(default_factory=list)  # of conversations those of each text

    @property
    def documents(self) -> list[Document]:
        """The texts as documents, without their names."""
        turns = self.assistant or [()] * len(self.texts)
        return [
            Document(collection="", unit="", text=text, assistant=own)
            for text, own in zip(self.texts, turns, strict=True)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedShard:
    """A tokenised shard, without its tokens."""

    lengths: tuple[int, ...]  # tokens of every document, with what begins and ends it
    repeats: tuple[int, ...]  # the runs of held-out text that it repeats, by position


def files_of_draft(request: CorpusRequest, folder: Path, store: Store) -> list[FileSlice]:
    """Every file of a corpus, in order."""
    return [
        FileSlice(request, str(store.root), str(folder), source, number, file.num_bytes)
        for source, files in enumerate(open_sources(request, store))
        for number, file in enumerate(files)
    ]


def read_shards(of: FileSlice) -> Iterator[Shard]:
    """The shards of a file, in order."""
    draft = read_draft(Path(of.folder))
    file = open_sources(of.request, Store(Path(of.storage)))[of.source][of.file]
    texts: list[str] = []
    turns: list[Turns] = []
    size, number = 0, 0
    for document in training_documents(file, frozenset(draft.held[of.source])):
        texts.append(document.text)
        turns += [document.assistant] if of.request.is_chat else []
        size += len(document.text)
        if size >= draft.shard_characters:
            yield Shard(f"{of.source}-{of.file}-{number}", texts, turns)
            texts, turns, size, number = [], [], 0, number + 1
    if texts:
        yield Shard(f"{of.source}-{of.file}-{number}", texts, turns)


def is_finished(folder: Path, name: str) -> bool:
    """Whether a shard is tokenised."""
    return (folder / f"{name}.json").is_file()


def read_finished(folder: Path, name: str) -> FinishedShard:
    """The description of a tokenised shard."""
    return from_json(FinishedShard, (folder / f"{name}.json").read_text(encoding="utf-8"))


def make_shard(folder: Path, shard: Shard) -> None:
    """Tokenise a shard: `<place>.bin`, then `<place>.json`. Doing it again changes nothing.

    Of conversations `<place>.mask` has a byte for each token.
    """
    from raydistill.data.corpus.decontamination import repeated_runs  # noqa: PLC0415  (numpy)

    tokenizer, runs, end = _tools(folder)
    encoded = encode_documents(shard.documents, tokenizer, end)
    finished = FinishedShard(
        lengths=tuple(last - first + 1 for first, last in encoded.spans),
        repeats=tuple(repeated_runs(runs, [document.learned for document in shard.documents])),
    )
    write_bytes(folder / f"{shard.place}.bin", encoded.data)
    if encoded.mask:
        write_bytes(folder / f"{shard.place}.mask", encoded.mask)
    write_text(folder / f"{shard.place}.json", to_json(finished))


def encode_documents(documents: Sequence[Document], tokenizer: "Tokenizer", end: int) -> Encoded:
    """Documents as token ids: of conversations those of their template, with the assistant's."""
    if any(document.assistant for document in documents):
        return encode_conversations(documents, tokenizer, end)
    return encode([d.text for d in documents], tokenizer, end, begin_ids(tokenizer))


@functools.lru_cache(maxsize=1)
def _tools(folder: Path) -> "tuple[Tokenizer, Hashes, int]":
    """Tokenizer, runs of held-out text and end-of-text id of a draft."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    runs: Hashes = np.load(folder / "runs.npy")
    return load_tokenizer(folder / "tokenizer.json"), runs, read_draft(folder).end_of_text_id
