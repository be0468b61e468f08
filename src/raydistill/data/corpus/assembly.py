"""Shards to a corpus: concatenated in order, with the held-out documents beside them."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.progress import tracked
from raydistill.data.corpus.draft import Draft, heldout_by_source, read_draft
from raydistill.data.corpus.heldout_files import write_heldout
from raydistill.data.corpus.mixture import describe_mix, documents_taken
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import (
    FinishedShard,
    files_of_draft,
    is_finished,
    make_shard,
    read_finished,
    read_shards,
)
from raydistill.data.documents import Document
from raydistill.data.sources.source import name_of, sources_of
from raydistill.data.text_beginning import begin_ids, beginning_notes
from raydistill.data.tokenizer import Encoded, encode, load_tokenizer, text_vocab_size
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

_READ_BYTES = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Shard:
    """A tokenised shard and the index of its source."""

    source: int
    file: Path
    contents: FinishedShard


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The first bytes of a shard's file."""

    file: Path
    num_bytes: int

    def blocks(self) -> Iterator[bytes]:
        """The bytes, block by block."""
        unread = self.num_bytes
        with self.file.open("rb") as file:
            while block := file.read(min(unread, _READ_BYTES)):
                unread -= len(block)
                yield block


def assemble_corpus(request: CorpusRequest, folder: Path, store: Store) -> CorpusInfo:
    """Write the corpus of the draft in `folder` into the store; missing shards are made.

    Raises:
        DataError: if there is too little text to train on, or none to hold out.
    """
    draft = read_draft(folder)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    begin = begin_ids(tokenizer)
    shards = list(_shards(request, folder, store))
    counts, notes = _document_counts(request, shards)
    documents, heldout = _heldout(request, draft, folder, store)
    prefixes = list(_prefixes(shards, counts, heldout.token_bytes))
    train_tokens = sum(prefix.num_bytes for prefix in prefixes) // heldout.token_bytes
    check_size(request, train_tokens, documents)
    info = CorpusInfo(
        name=name_of(request.text),
        corpus_sha256=_sha256_of_both(prefixes, heldout),
        tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
        vocab_size=text_vocab_size(tokenizer, draft.end_of_text_id),
        token_bytes=heldout.token_bytes,
        train_tokens=train_tokens,
        heldout_tokens=heldout.tokens,
        train_documents=sum(counts),
        heldout_documents=len(documents),
        end_of_text_id=draft.end_of_text_id,
        begin_ids=begin,
        notes=(
            *draft.notes,
            *notes,
            *beginning_notes(folder / "tokenizer.json"),
            *_contamination(shards, documents, folder),
        ),
    )
    with store.making("corpora", info.corpus_sha256) as final:
        with (final / "train.bin").open("wb") as file:
            file.writelines(block for prefix in prefixes for block in prefix.blocks())
        write_heldout(final, info, folder / "tokenizer.json", documents, heldout)
    return info


def too_short(name: str, tokens: int, context: int) -> str:
    """The message for a corpus without one training window."""
    return f"the corpus {name} needs at least {context + 1} training tokens, has {tokens}"


def _shards(request: CorpusRequest, folder: Path, store: Store) -> Iterator[_Shard]:
    files = files_of_draft(request, folder, store)
    for file in tracked(files, "tokenising", "bytes", size=lambda file: file.num_bytes):
        for shard in read_shards(file):
            if not is_finished(folder, shard.place):
                make_shard(folder, shard)
            contents = read_finished(folder, shard.place)
            yield _Shard(file.source, folder / f"{shard.place}.bin", contents)


def _document_counts(
    request: CorpusRequest, shards: Sequence[_Shard]
) -> tuple[list[int], list[str]]:
    """The number of training documents of each source, and notes on the mix."""
    sources = sources_of(request.text)
    lengths = [
        [tokens for shard in shards if shard.source == source for tokens in shard.contents.lengths]
        for source in range(len(sources))
    ]
    if len(sources) == 1:
        return [len(lengths[0])], []
    for source, own in zip(sources, lengths, strict=True):
        if not own:
            raise DataError(f"{source.name} has no training text, so there is no mix with it")
    counts = documents_taken(lengths, sources)
    return counts, [describe_mix(lengths, counts, sources)]


def _prefixes(
    shards: Sequence[_Shard], counts: Sequence[int], token_bytes: int
) -> Iterator[_Prefix]:
    """The parts of the shards that hold the first documents of each source."""
    remaining = list(counts)
    for shard in shards:
        lengths = shard.contents.lengths[: remaining[shard.source]]
        remaining[shard.source] -= len(lengths)
        if lengths:
            yield _Prefix(shard.file, sum(lengths) * token_bytes)


def _heldout(
    request: CorpusRequest, draft: Draft, folder: Path, store: Store
) -> tuple[list[Document], Encoded]:
    """The held-out documents and their tokens; of a mix, in its shares."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    begin = begin_ids(tokenizer)
    by_source = heldout_by_source(request, draft, store)
    if len(by_source) > 1:
        spans = [
            encode([d.text for d in own], tokenizer, draft.end_of_text_id, begin).spans
            for own in by_source
        ]
        lengths = [[last - first + 1 for first, last in own] for own in spans]
        counts = documents_taken(lengths, sources_of(request.text))
        by_source = [own[: max(1, n)] for own, n in zip(by_source, counts, strict=True)]
    documents = [document for own in by_source for document in own]
    texts = [document.text for document in documents]
    return documents, encode(texts, tokenizer, draft.end_of_text_id, begin)


def check_size(request: CorpusRequest, train_tokens: int, heldout: Sequence[Document]) -> None:
    """Refuse a corpus of so many training tokens, and these held-out documents, if it is too short.

    Raises:
        DataError: saying what is missing.
    """
    if train_tokens <= request.context:
        message = too_short(request.text, train_tokens, request.context)
        if heldout and not request.heldout:
            message += (
                f" beside {len(heldout)} held-out document(s): add text, or name other text to "
                "measure on with --heldout"
            )
        raise DataError(message)
    if not heldout and request.heldout:
        raise DataError(f"the held-out text {request.heldout} has no document in it")
    if not heldout:
        raise DataError(
            f"the corpus {request.text} is a single short document, so nothing can be held out: "
            "add text, separate documents by form feeds, or name other text with --heldout"
        )


def _contamination(
    shards: Sequence[_Shard], documents: Sequence[Document], folder: Path
) -> list[str]:
    """A note on held-out documents that share 12 words in a row with training, if there are any."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    from raydistill.data.corpus.decontamination import count_repeating  # noqa: PLC0415  (numpy)

    repeats = {run for shard in shards for run in shard.contents.repeats}
    runs = np.load(folder / "runs.npy")
    count = count_repeating([document.text for document in documents], runs, repeats)
    if not count:
        return []
    note = (
        f"{count} of {len(documents)} held-out documents repeat 12 words in a row of training text"
    )
    _log.warning(note)
    return [note]


def _sha256_of_both(train: Sequence[_Prefix], heldout: Encoded) -> str:
    """The sha256 that names a corpus."""
    hashed = hashlib.sha256()
    for block in (block for prefix in train for block in prefix.blocks()):
        hashed.update(block)
    hashed.update(heldout.data)
    return hashed.hexdigest()
