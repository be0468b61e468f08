"""Shards to a corpus: put one after the other in their order, with what is held out beside them."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.serialization import from_json, to_json
from raydistill.data.corpus.draft import Draft, heldout_documents
from raydistill.data.corpus.mixture import describe, documents_taken
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import (
    FinishedShard,
    files_of_draft,
    is_made,
    make_shard,
    read_made,
    read_shards,
)
from raydistill.data.corpus.spans import spans_json
from raydistill.data.documents import Document
from raydistill.data.sources.source import name_of, sources_of
from raydistill.data.tokenizer import Encoded, encode, load_tokenizer
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

_READ_BYTES = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard that was tokenised, and which source it is of."""

    source: int
    file: Path
    made: FinishedShard


@dataclass(frozen=True, slots=True)
class _Piece:
    """The beginning of a shard's file that is taken."""

    file: Path
    num_bytes: int

    def read(self) -> Iterator[bytes]:
        """Its bytes, a little at a time."""
        left = self.num_bytes
        with self.file.open("rb") as file:
            while block := file.read(min(left, _READ_BYTES)):
                left -= len(block)
                yield block


def put_together(wanted: CorpusRequest, folder: Path, store: Store) -> CorpusInfo:
    """The corpus of a draft, in the store; shards that the draft lacks are made.

    Raises:
        DataError: if there is too little text to train on, or none to hold out.
    """
    draft = from_json(Draft, (folder / "draft.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    shards = list(_every_shard(wanted, folder, store))
    taken, notes = _taken(wanted, shards)
    documents, tests = _heldout(wanted, draft, folder, store)
    pieces = list(_pieces(shards, taken, tests.token_bytes))
    train_tokens = sum(piece.num_bytes for piece in pieces) // tests.token_bytes
    _check_size(wanted, train_tokens, documents)
    notes += _overlap(shards, documents, folder)
    info = CorpusInfo(
        name=name_of(wanted.text),
        corpus_sha256=_sha256_of_both(pieces, tests),
        tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
        vocab_size=tokenizer.get_vocab_size(),
        token_bytes=tests.token_bytes,
        train_tokens=train_tokens,
        heldout_tokens=tests.tokens,
        train_documents=sum(taken),
        heldout_documents=len(documents),
        end_of_text_id=draft.end_of_text_id,
        notes=(*draft.notes, *notes),
    )
    with store.making("corpora", info.corpus_sha256) as final:
        (final / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        with (final / "train.bin").open("wb") as file:
            file.writelines(block for piece in pieces for block in piece.read())
        (final / "heldout.bin").write_bytes(tests.data)
        (final / "heldout.json").write_text(spans_json(documents, tests), encoding="utf-8")
        (final / "corpus.json").write_text(to_json(info), encoding="utf-8")
    return info


def too_short(name: str, tokens: int, context: int) -> str:
    """What is said of a corpus that no sequence can be cut from."""
    return f"the corpus {name} needs at least {context + 1} training tokens, has {tokens}"


def _every_shard(wanted: CorpusRequest, folder: Path, store: Store) -> Iterator[_Shard]:
    for file in files_of_draft(wanted, folder, store):
        for shard in read_shards(file):
            if not is_made(folder, shard.place):
                make_shard(folder, shard)
            yield _Shard(file.source, folder / f"{shard.place}.bin", read_made(folder, shard.place))


def _taken(wanted: CorpusRequest, shards: Sequence[_Shard]) -> tuple[list[int], list[str]]:
    """How many documents of each source are trained on, and what there is to say of it."""
    sources = sources_of(wanted.text)
    lengths = [
        [tokens for shard in shards if shard.source == source for tokens in shard.made.lengths]
        for source in range(len(sources))
    ]
    if len(sources) == 1:
        return [len(lengths[0])], []
    for source, own in zip(sources, lengths, strict=True):
        if not own:
            raise DataError(f"{source.name} has no training text, so there is no mix with it")
    taken = documents_taken(lengths, sources)
    return taken, [describe(lengths, taken, sources)]


def _pieces(shards: Sequence[_Shard], taken: Sequence[int], token_bytes: int) -> Iterator[_Piece]:
    left = list(taken)
    for shard in shards:
        lengths = shard.made.lengths[: left[shard.source]]
        left[shard.source] -= len(lengths)
        if lengths:
            yield _Piece(shard.file, sum(lengths) * token_bytes)


def _heldout(
    wanted: CorpusRequest, draft: Draft, folder: Path, store: Store
) -> tuple[list[Document], Encoded]:
    """What is measured on, in tokens; of a mix, in its shares."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    found = heldout_documents(wanted, draft, store)
    if len(found) > 1:
        encoded = [
            encode([d.text for d in own], tokenizer, draft.end_of_text_id).spans for own in found
        ]
        lengths = [[last - first + 1 for first, last in spans] for spans in encoded]
        taken = documents_taken(lengths, sources_of(wanted.text))
        found = [own[: max(1, count)] for own, count in zip(found, taken, strict=True)]
    documents = [document for own in found for document in own]
    texts = [document.text for document in documents]
    return documents, encode(texts, tokenizer, draft.end_of_text_id)


def _check_size(wanted: CorpusRequest, train_tokens: int, heldout: Sequence[Document]) -> None:
    if train_tokens <= wanted.context:
        raise DataError(too_short(wanted.text, train_tokens, wanted.context))
    if not heldout and wanted.heldout:
        raise DataError(f"the held-out text {wanted.heldout} has no document in it")
    if not heldout:
        raise DataError(
            f"the corpus {wanted.text} is a single short document, so nothing can be held out: "
            "add text, separate documents by form feeds, or name other text with --heldout"
        )


def _overlap(shards: Sequence[_Shard], documents: Sequence[Document], folder: Path) -> list[str]:
    """What there is to say of held-out text that stands in training too (12 words in a row)."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    from raydistill.data.corpus.decontamination import count_repeating  # noqa: PLC0415  (numpy)

    seen = {run for shard in shards for run in shard.made.repeats}
    runs = np.load(folder / "runs.npy")
    repeating = count_repeating([document.text for document in documents], runs, seen)
    if not repeating:
        return []
    note = (
        f"{repeating} of {len(documents)} held-out documents repeat 12 words in a row of training "
        "text"
    )
    _log.warning(note)
    return [note]


def _sha256_of_both(train: Sequence[_Piece], heldout: Encoded) -> str:
    """What names a corpus."""
    hashed = hashlib.sha256()
    for piece in train:
        for block in piece.read():
            hashed.update(block)
    hashed.update(heldout.data)
    return hashed.hexdigest()
