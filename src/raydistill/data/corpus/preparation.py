"""Text to token files: a corpus is made once, and its folder is named by its tokens.

    corpora/<sha256>/              train.bin, heldout.bin, heldout.json, tokenizer.json, corpus.json
    corpora/by-source/<key>.json   the folder of a requested corpus

The sha256 is that of `train.bin` and then `heldout.bin`, so other held-out text is another corpus.
`find_corpus` reads the pointers in `by-source`, no documents, and imports nothing heavy.

    request.py               the corpus that a scale needs, and its key
    draft.py, shards.py      tokenizer and held-out documents; training text in parts for any node
    heldout_split.py         the choice of held-out documents
    decontamination.py       the held-out documents that training text repeats
    mixture.py, assembly.py  shares of several texts; the parts put together
    general_heldout.py       a second held-out text

Conversations (`data/conversations/`) are rendered into their draft first, by a function that the
caller brings: transformers is imported in `models` alone.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.data.conversations.rows import conversation_files
from raydistill.data.conversations.template import required_template
from raydistill.data.corpus.assembly import assemble_corpus, too_short
from raydistill.data.corpus.draft import begin_draft
from raydistill.data.corpus.request import CorpusRequest, source_key
from raydistill.data.sources import embedded, hub
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.pretokenized import check_text_form, copy_tokens, is_tokenised
from raydistill.data.sources.source import (
    File,
    existing,
    local_files,
    size_bytes,
    sources_of,
    texts_of,
)
from raydistill.data.tokenizer import check_tokenizer
from raydistill.specs.corpus import CHAT, CorpusInfo, Renderer
from raydistill.storage.sharing import done_by_one, small_or_below
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pointer:
    corpus_sha256: str


def build_corpus(request: CorpusRequest, store: Store, renderer: Renderer | None = None) -> Path:
    """The folder of a corpus, made if the store lacks it; resumes after a kill.

    If another process makes it, this one waits for that. `renderer` makes text of conversations.

    Raises:
        DataError: if the text or the tokenizer is missing, unreadable or too short.
    """
    if info := find_corpus(request, store):
        return store.path("corpora", info.corpus_sha256)
    with done_by_one(store.root, *corpus_turn(request), is_wanted=small_or_below("corpora")):
        return build_corpus_in_turn(request, store, renderer)


def build_corpus_in_turn(
    request: CorpusRequest, store: Store, renderer: Renderer | None = None
) -> Path:
    """`build_corpus` for a caller that has the turn, or whose driver has it (`corpus_turn`)."""
    info = find_corpus(request, store) or _make_corpus(request, store, renderer)
    return store.path("corpora", info.corpus_sha256)


def corpus_turn(request: CorpusRequest) -> tuple[str, str]:
    """What `done_by_one` calls the work on a corpus; its draft belongs to whoever has the turn."""
    return "corpus", source_key(request)


def prepare_corpus(
    text: str, *, store: Store, renderer: Renderer | None = None, **fields: Any
) -> Path:
    """`build_corpus` with the other fields of `CorpusRequest` by keyword."""
    return build_corpus(CorpusRequest(text=text, **fields), store, renderer)


def begin_corpus(request: CorpusRequest, store: Store, renderer: Renderer | None = None) -> Path:
    """Begin the draft of a corpus, and return its folder, where shards belong.

    Raises:
        DataError: if the text or the tokenizer is missing or unreadable.
    """
    return begin_draft(request, source_key(request), store, renderer)


def find_corpus(request: CorpusRequest, store: Store) -> CorpusInfo | None:
    """The description of a corpus; None if the store lacks it.

    Raises:
        DataError: if its text is missing.
    """
    pointer = store.load(_Pointer, "corpora", "by-source", f"{source_key(request)}.json")
    if pointer is None or not store.has("corpora", pointer.corpus_sha256):
        return None
    return store.load(CorpusInfo, "corpora", pointer.corpus_sha256, "corpus.json")


def check_corpus(request: CorpusRequest) -> None:
    """Refuse missing text, and a tokenizer that does not fit the model.

    No more than the first document is read; too little text is noticed later.

    Raises:
        DataError: if the text is missing or empty; if the tokenizer is missing, has no
            end-of-text, or ids that the model has not.
        UsageError: if texts cannot be combined.
    """
    if request.tokenizer is not None:
        check_tokenizer(request.tokenizer, request.vocab_size)
    if request.is_chat:
        _check_chat(request)
    for text in texts_of(request.text, request.heldout):
        if text in embedded.NAMES:
            embedded.installed_versions()
        elif hub.is_id(text):
            hub.check(text)
        elif is_tokenised(existing(text)):
            _check_alone(request)
            check_text_form(existing(text), request.text_form)
        elif not size_bytes(text):
            raise DataError(too_short(text, 0, request.context))
        else:
            _check_first(text, request)


def _check_first(text: str, request: CorpusRequest) -> None:
    """Refuse files whose first row is not as it must be."""
    files: Sequence[File] = local_files(text, request.text_field)
    if request.is_chat:
        files = conversation_files(local_files(text, request.text_field), text)
    for file in files[:1]:
        next(iter(file.documents(TextCleaner())), None)


def _check_chat(request: CorpusRequest) -> None:
    """Refuse what does not go with conversations."""
    required_template(request.tokenizer)
    if request.words:
        raise UsageError(
            f"--words {request.words}: of a conversation nothing can be left out; leave the flag "
            f"out, or --text-form {CHAT}"
        )
    for text in texts_of(request.text, request.heldout):
        if text in embedded.NAMES:
            raise UsageError(f"--text-form {CHAT}: {text!r} is plain text, name conversations")


def size_of(request: CorpusRequest) -> int:
    """Bytes of text to tokenise, as far as they are known."""
    return sum(size_bytes(source.text) for source in sources_of(request.text))


def is_large(request: CorpusRequest, num_bytes: int) -> bool:
    """Whether there is more text than that; data sets of the hub are assumed to be large."""
    is_remote = any(hub.is_id(source.text) for source in sources_of(request.text))
    return is_remote or size_of(request) > num_bytes


def _make_corpus(request: CorpusRequest, store: Store, renderer: Renderer | None) -> CorpusInfo:
    key = source_key(request)
    if _is_tokens(request.text):
        _check_alone(request)
        folder = existing(request.text)
        check_text_form(folder, request.text_form)
        info = copy_tokens(folder, request.tokenizer, request.vocab_size, store)
        if info.train_tokens <= request.context:
            raise DataError(too_short(request.text, info.train_tokens, request.context))
    else:
        try:
            draft = begin_draft(request, key, store, renderer)
            info = assemble_corpus(request, draft, store)
        except DataError:
            shutil.rmtree(store.path("corpora", "drafts", key), ignore_errors=True)
            raise
    store.save(_Pointer(corpus_sha256=info.corpus_sha256), "corpora", "by-source", f"{key}.json")
    shutil.rmtree(store.path("corpora", "drafts", key), ignore_errors=True)
    return info


def _is_tokens(text: str) -> bool:
    return text not in embedded.NAMES and is_tokenised(resolve_path(text))


def _check_alone(request: CorpusRequest) -> None:
    if request.heldout or not _is_tokens(request.text):
        raise UsageError(
            f"--corpus {request.text!r}: a folder of tokens stands alone, "
            "with its own held-out text"
        )
