"""Shards to a corpus: concatenated in order, with the held-out documents beside them."""

import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.core.errors import DataError
from raydistill.core.progress import tracked
from raydistill.data.corpus.draft import Draft, heldout_by_source, read_draft
from raydistill.data.corpus.heldout_files import write_heldout
from raydistill.data.corpus.mixture import describe_mix, documents_taken
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import (
    FinishedShard,
    encode_documents,
    files_of_draft,
    is_finished,
    make_shard,
    read_finished,
    read_shards,
)
from raydistill.data.documents import Document
from raydistill.data.sources.source import name_of, sources_of
from raydistill.data.text_beginning import begin_ids, beginning_notes
from raydistill.data.tokenizer import Encoded, load_tokenizer, text_vocab_size
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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

    def mask(self, token_bytes: int) -> "_Prefix":
        """The same tokens' marks."""
        return _Prefix(self.file.with_suffix(".mask"), self.num_bytes // token_bytes)

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
    shards = list(_shards(request, folder, store))
    counts, notes = _document_counts(request, shards)
    documents, heldout = _heldout(request, draft, folder, store)
    prefixes = list(_prefixes(shards, counts, heldout.token_bytes))
    train_tokens = sum(prefix.num_bytes for prefix in prefixes) // heldout.token_bytes
    masks = [prefix.mask(heldout.token_bytes) for prefix in prefixes] if request.is_chat else []
    check_size(request, train_tokens, documents)
    info = CorpusInfo(
        name=name_of(request.text),
        corpus_sha256=_sha256_of(prefixes, heldout.data, masks, heldout.mask),
        tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
        vocab_size=_vocab_size(request, tokenizer, draft, prefixes, heldout),
        token_bytes=heldout.token_bytes,
        train_tokens=train_tokens,
        heldout_tokens=heldout.tokens,
        train_documents=sum(counts),
        heldout_documents=len(documents),
        end_of_text_id=draft.end_of_text_id,
        begin_ids=_begin_ids(request, tokenizer, heldout),
        text_form=request.text_form,
        mask_sha256=_sha256_of(masks, heldout.mask) if request.is_chat else "",
        notes=(
            *draft.notes,
            *notes,
            *([] if request.is_chat else beginning_notes(folder / "tokenizer.json")),
            *_contamination(shards, documents, folder),
        ),
    )
    with store.making("corpora", info.corpus_sha256) as final:
        with (final / "train.bin").open("wb") as file:
            file.writelines(block for prefix in prefixes for block in prefix.blocks())
        if masks:
            with (final / "train.mask").open("wb") as file:
                file.writelines(block for mask in masks for block in mask.blocks())
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
    by_source = heldout_by_source(request, draft, store)
    if len(by_source) > 1:
        spans = [encode_documents(own, tokenizer, draft.end_of_text_id).spans for own in by_source]
        lengths = [[last - first + 1 for first, last in own] for own in spans]
        counts = documents_taken(lengths, sources_of(request.text))
        by_source = [own[: max(1, n)] for own, n in zip(by_source, counts, strict=True)]
    documents = [document for own in by_source for document in own]
    return documents, encode_documents(documents, tokenizer, draft.end_of_text_id)


def _begin_ids(request: CorpusRequest, tokenizer: "Tokenizer", heldout: Encoded) -> tuple[int, ...]:
    """What documents begin with: of conversations, if their template writes it, as most do."""
    begin = begin_ids(tokenizer)
    if request.is_chat:
        raw = b"".join(token.to_bytes(heldout.token_bytes, "little") for token in begin)
        starts = (start * heldout.token_bytes for start, _ in heldout.spans)
        if not all(heldout.data.startswith(raw, start) for start in starts):
            return ()
    return begin


def _vocab_size(
    request: CorpusRequest,
    tokenizer: "Tokenizer",
    draft: Draft,
    prefixes: Sequence[_Prefix],
    heldout: Encoded,
) -> int:
    """One more than the largest id that texts can have; of conversations also that they have."""
    size = text_vocab_size(tokenizer, draft.end_of_text_id)
    if request.is_chat:
        import numpy as np  # noqa: PLC0415  (a dry run needs none)

        blocks = itertools.chain([heldout.data], *(prefix.blocks() for prefix in prefixes))
        ids = (np.frombuffer(block, f"<u{heldout.token_bytes}") for block in blocks)
        size = max(size, *(1 + int(own.max(initial=0)) for own in ids))
    return size


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
    count = count_repeating([document.learned for document in documents], runs, repeats)
    if not count:
        return []
    note = (
        f"{count} of {len(documents)} held-out documents repeat 12 words in a row of training text"
    )
    _log.warning(note)
    return [note]


def _sha256_of(*parts: Sequence[_Prefix] | bytes) -> str:
    """The sha256 of parts of files and of bytes, one after the other."""
    hashed = hashlib.sha256()
    for part in parts:
        blocks = (
            (block for prefix in part for block in prefix.blocks())
            if not isinstance(part, bytes)
            else [part]
        )
        for block in blocks:
            hashed.update(block)
    return hashed.hexdigest()
