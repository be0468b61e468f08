"""How much text a corpus has, before it is tokenised: counted if it is short, else estimated.

Nothing heavy is imported: plans use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.data.conversations.rows import conversation_files
from raydistill.data.corpus.assembly import check_size
from raydistill.data.corpus.draft import (
    Draft,
    check_left,
    choose_heldout,
    heldout_by_source,
    open_sources,
    training_documents,
)
from raydistill.data.corpus.heldout_split import HELDOUT_EVERY
from raydistill.data.corpus.mixture import documents_taken
from raydistill.data.corpus.request import CorpusRequest, named_tokenizer
from raydistill.data.documents import Document
from raydistill.data.sources import embedded, hub
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.parquet import ParquetFile
from raydistill.data.sources.pretokenized import is_tokenised
from raydistill.data.sources.source import File, local_files, sources_of
from raydistill.data.text_beginning import begin_ids
from raydistill.data.tokenizer import count_tokens, load_tokenizer, train_tokenizer
from raydistill.storage.store import Store

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COUNTED_BYTES = 1_000_000  # of text that a plan reads as a whole, a second or so
SAMPLE_CHARACTERS = 200_000  # of a longer one, to estimate its tokens from


@dataclass(frozen=True, kw_only=True, slots=True)
class TextLength:
    """The training tokens of a corpus; of a short one its held-out documents too."""

    train_tokens: int
    is_exact: bool
    heldout: tuple[Document, ...] = ()


def length_of(request: CorpusRequest, store: Store) -> TextLength | None:
    """The length of a corpus that is not tokenised; None where that is not known without work.

    Raises:
        DataError: if it was counted, and is too short to train or to be measured on.
    """
    texts = [source.text for source in sources_of(request.text)]
    if len(texts) == 1 and texts[0] in embedded.NAMES:
        is_counted = texts[0] in embedded.SHIPPED or request.vocab_size == embedded.VOCABULARY
        if request.words or not is_counted:
            return _estimated(request, store)
        tokens = embedded.TRAIN_TOKENS[texts[0]]
        return TextLength(train_tokens=tokens, is_exact=request.tokenizer is None)
    texts += [request.heldout] if request.heldout else []
    if not all(map(_is_readable, texts)):
        return None
    if request.is_chat:
        return _estimated(request, store)
    num_bytes = sum(_text_bytes(text, request) for text in texts)
    return _counted(request, store) if num_bytes <= COUNTED_BYTES else _estimated(request, store)


def _text_bytes(text: str, request: CorpusRequest) -> int:
    """Bytes of text in a source's files, about; JSON lines have more than text."""
    if request.is_chat:
        own = local_files(text, request.text_field)
        return sum(file.num_bytes for file in conversation_files(own, text))
    files = local_files(text, request.text_field)
    return sum(f.text_bytes if isinstance(f, ParquetFile) else f.num_bytes for f in files)


def _is_readable(text: str) -> bool:
    """Whether a text is in files of this machine, and not tokenised."""
    path = Path(text)
    named = text in embedded.NAMES or hub.is_id(text)
    return not named and path.exists() and not is_tokenised(path)


def _counted(request: CorpusRequest, store: Store) -> TextLength:
    held, _ = choose_heldout(request, store)
    texts = [
        [document.text for file in files for document in training_documents(file, frozenset(units))]
        for files, units in zip(open_sources(request, store), held, strict=True)
    ]
    tokenizer = _tokenizer(request, [text for own in texts for text in own])
    begin = begin_ids(tokenizer)
    lengths = [[count_tokens(text, tokenizer, begin) for text in own] for own in texts]
    sources = sources_of(request.text)
    counts = documents_taken(lengths, sources) if len(sources) > 1 else [len(lengths[0])]
    tokens = sum(sum(own[:count]) for own, count in zip(lengths, counts, strict=True))
    draft = Draft(end_of_text_id=0, held=tuple(held), shard_characters=1, notes=())
    heldout = [document for own in heldout_by_source(request, draft, store) for document in own]
    check_size(request, tokens, heldout)
    return TextLength(train_tokens=tokens, is_exact=True, heldout=tuple(heldout))


def _estimated(request: CorpusRequest, store: Store) -> TextLength:
    """By the tokens of a byte of text at the beginning."""
    sample: list[str] = []
    characters = 0
    files, cleaner = (file for own in _files(request, store) for file in own), TextCleaner()
    documents = (document for file in files for document in file.documents(cleaner))
    for document in documents:
        sample.append(document.text[:SAMPLE_CHARACTERS])
        characters += len(sample[-1])
        if characters >= SAMPLE_CHARACTERS:
            break
    if not sample and not request.is_chat:
        check_left(request.text, cleaner.kept, request)
    tokenizer = _tokenizer(request, sample)
    begin = begin_ids(tokenizer)
    sample_bytes = sum(len(text.encode()) for text in sample)
    share = sum(count_tokens(text, tokenizer, begin) for text in sample) / max(1, sample_bytes)
    num_bytes = sum(_text_bytes(source.text, request) for source in sources_of(request.text))
    kept = 1 if request.heldout else 1 - 1 / HELDOUT_EVERY
    if cleaner.kept.words:
        kept *= cleaner.kept.words_kept / cleaner.kept.words
    return TextLength(train_tokens=round(share * num_bytes * kept), is_exact=False)


def _files(request: CorpusRequest, store: Store) -> Sequence[tuple[File, ...]]:
    """The files of each source; of conversations as they are, before a template renders them."""
    if not request.is_chat:
        return open_sources(request, store)
    texts = [source.text for source in sources_of(request.text)]
    return [conversation_files(local_files(t, request.text_field), t) for t in texts]


def _tokenizer(request: CorpusRequest, texts: list[str]) -> "Tokenizer":
    if path := named_tokenizer(request):
        return load_tokenizer(path)
    return train_tokenizer(texts, request.vocab_size)
