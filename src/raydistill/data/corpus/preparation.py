"""Text to token files: a corpus is made once, and its folder is named by its tokens.

    corpora/<sha256>/              train.bin, heldout.bin, heldout.json, tokenizer.json, corpus.json
    corpora/by-source/<key>.json   which of those folders a source became

The sha256 is that of `train.bin` and then `heldout.bin`, so other held-out text is another corpus.
`find` answers from the pointers without reading documents, and without heavy imports.

sources.py                what `--corpus` names: kinds of text, shares, files
plaintext.py jsonl.py parquet.py embedded.py hub.py
                          one kind of text each, as documents
mending.py                what is done to text that is not clean
heldout.py overlap.py     which documents are held out; which of them training repeats
draft.py shards.py        what is settled before tokenising; the text in parts that any node can do
identity.py               what a corpus will be, known before its text is read
assemble.py mix.py        the parts put together; shares of several texts
general.py                a second text to measure on
tokenised.py              tokens that were made elsewhere
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.data.corpus.assembly import put_together, too_short
from raydistill.data.corpus.draft import begin
from raydistill.data.corpus.request import CorpusRequest, source_key
from raydistill.data.sources import embedded, hub
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.pretokenized import copy_tokens, is_tokenised
from raydistill.data.sources.source import existing, local_files, size_bytes, sources_of
from raydistill.data.tokenizer import check_tokenizer
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pointer:
    corpus_sha256: str


def build_corpus(wanted: CorpusRequest, store: Store) -> Path:
    """The folder of a corpus, made if the store lacks it; goes on where it was killed.

    Raises:
        DataError: if the text or the tokenizer is missing, unreadable or too short.
    """
    found = find_corpus(wanted, store)
    if found is None:
        found = _made(wanted, store)
    return store.path("corpora", found.corpus_sha256)


def begin_corpus(wanted: CorpusRequest, store: Store) -> Path:
    """Settle what comes before tokenising; returns the folder where shards belong.

    Raises:
        DataError: if the text or the tokenizer is missing or unreadable.
    """
    return begin(wanted, source_key(wanted), store)


def find_corpus(wanted: CorpusRequest, store: Store) -> CorpusInfo | None:
    """What is known of a corpus without making it: None where the store lacks it.

    Raises:
        DataError: if the source itself is missing.
    """
    pointer = store.load(_Pointer, "corpora", "by-source", f"{source_key(wanted)}.json")
    if pointer is None or not store.has("corpora", pointer.corpus_sha256):
        return None
    return store.load(CorpusInfo, "corpora", pointer.corpus_sha256, "corpus.json")


def check_corpus(wanted: CorpusRequest) -> None:
    """Refuse a corpus whose text is not here, and a tokenizer that is not the model's.

    Of text no more than the first document is read: how much is too little shows later.

    Raises:
        DataError: if there is no such text, or not a byte of it; if the tokenizer is missing, has
            no end-of-text, or more entries than the model.
        UsageError: if texts do not go together.
    """
    if wanted.tokenizer is not None:
        check_tokenizer(wanted.tokenizer, wanted.vocab_size)
    sources = sources_of(wanted.text)
    for text in [*(source.text for source in sources), *filter(None, [wanted.heldout])]:
        if text in embedded.NAMES:
            embedded.installed_versions()
        elif hub.is_id(text):
            hub.check(text)
        elif is_tokenised(existing(text)):
            _check_alone(wanted)
        elif not size_bytes(text):
            raise DataError(too_short(text, 0, wanted.context))
        else:
            for file in local_files(text, wanted.text_field)[:1]:
                next(iter(file.documents(TextCleaner())), None)


def size_of(wanted: CorpusRequest) -> int:
    """Bytes of the text that is to be tokenised, as far as they are known."""
    return sum(size_bytes(source.text) for source in sources_of(wanted.text))


def is_large(wanted: CorpusRequest, num_bytes: int) -> bool:
    """Whether there is more text than that; a data set of the hub is taken to be large."""
    at_the_hub = any(hub.is_id(source.text) for source in sources_of(wanted.text))
    return at_the_hub or size_of(wanted) > num_bytes


def prepare_corpus(
    name_or_path: str,
    *,
    store: Store,
    tokenizer: Path | None = None,
    vocab_size: int = 2048,
    context: int = 128,
    text_field: str = "text",
    heldout: str = "",
) -> Path:
    """`build_corpus`, with the fields of `CorpusRequest` one by one."""
    return build_corpus(
        CorpusRequest(
            text=name_or_path,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            context=context,
            text_field=text_field,
            heldout=heldout,
        ),
        store,
    )


def _made(wanted: CorpusRequest, store: Store) -> CorpusInfo:
    key = source_key(wanted)
    if _is_tokens(wanted.text):
        _check_alone(wanted)
        folder = existing(wanted.text)
        info = copy_tokens(folder, wanted.tokenizer, wanted.vocab_size, store)
        if info.train_tokens <= wanted.context:
            raise DataError(too_short(wanted.text, info.train_tokens, wanted.context))
    else:
        draft = begin(wanted, key, store)
        try:
            info = put_together(wanted, draft, store)
        except DataError:
            shutil.rmtree(draft)
            raise
        except FileNotFoundError:
            found = find_corpus(
                wanted, store
            )  # another process was faster, and took the draft away
            if found is None:
                raise
            info = found
    store.save(_Pointer(corpus_sha256=info.corpus_sha256), "corpora", "by-source", f"{key}.json")
    shutil.rmtree(store.path("corpora", "drafts", key), ignore_errors=True)
    return info


def _is_tokens(text: str) -> bool:
    return text not in embedded.NAMES and is_tokenised(resolve_path(text))


def _check_alone(wanted: CorpusRequest) -> None:
    if wanted.heldout or not _is_tokens(wanted.text):
        raise UsageError(
            f"--corpus {wanted.text!r}: a folder of tokens stands alone, with its own held-out text"
        )
