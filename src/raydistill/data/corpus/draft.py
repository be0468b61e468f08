"""What is fixed before a corpus is tokenised: its tokenizer, and the held-out documents.

    corpora/drafts/<key>/  draft.json, tokenizer.json, runs.npy (of the held-out text), shards

A draft is kept until the corpus is complete, so that a killed preparation resumes.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.progress import carried, tracked
from raydistill.core.serialization import from_json
from raydistill.data.conversations.rendering import (
    render_conversations,
    rendered_files,
    rendered_heldout,
    rendered_notes,
)
from raydistill.data.conversations.template import PACKED
from raydistill.data.corpus.heldout_split import (
    HELDOUT_EVERY,
    Chosen,
    choose_units,
    read_units,
    size_of,
)
from raydistill.data.corpus.request import CorpusRequest, named_tokenizer, source_key
from raydistill.data.documents import Document
from raydistill.data.sources import embedded
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.source import (
    File,
    cut_to_hold_out,
    files_of,
    filtered,
    name_of,
    passed_over_notes,
    sources_of,
    texts_of,
)
from raydistill.data.tokenizer import (
    check_tokenizer,
    end_of_text_id,
    load_tokenizer,
    tokenizer_file,
    train_tokenizer,
)
from raydistill.data.words import Kept, read_words
from raydistill.specs.corpus import Renderer
from raydistill.storage.store import Store

SHARD_CHARACTERS = 4_000_000
TRAINING_CHARACTERS = 64_000_000  # of the beginning of a text, to train a new tokenizer on


_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is fixed before tokenising."""

    end_of_text_id: int
    held: tuple[tuple[str, ...], ...]  # the held-out units of each source, by name
    shard_characters: int
    notes: tuple[str, ...]


def read_draft(folder: Path) -> Draft:
    """The draft in a folder."""
    return from_json(Draft, (folder / "draft.json").read_text(encoding="utf-8"))


def begin_draft(
    request: CorpusRequest, key: str, store: Store, renderer: Renderer | None = None
) -> Path:
    """The folder of a draft, made with all but its shards unless it exists.

    Args:
        request: the corpus.
        key: of the request.
        store: keeps drafts.
        renderer: makes text of conversations; only a corpus of these needs it.

    Raises:
        DataError: if text or tokenizer are missing, or not as they must be.
    """
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    from raydistill.data.corpus.decontamination import all_runs  # noqa: PLC0415  (numpy)

    folder = store.path("corpora", "drafts", key)
    if (folder / "draft.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if request.is_chat:
        assert renderer is not None, "conversations are rendered by who may import transformers"
        render_conversations(request, folder, store, renderer)
    held, notes = choose_heldout(request, store)
    if request.is_chat:
        notes = [*rendered_notes(folder), *notes]
    for note in (note for note in notes if note != PACKED):
        _log.warning(note)
    draft = Draft(
        end_of_text_id=_write_tokenizer(request, held, folder / "tokenizer.json", store),
        held=tuple(held),
        shard_characters=SHARD_CHARACTERS,
        notes=tuple(notes),
    )
    by_source = heldout_by_source(request, draft, store)
    np.save(folder / "runs.npy", all_runs(d.learned for documents in by_source for d in documents))
    store.save(draft, "corpora", "drafts", key, "draft.json")
    return folder


def open_sources(request: CorpusRequest, store: Store) -> Sequence[tuple[File, ...]]:
    """The files of each source, of whose text only the words that are allowed are left.

    Conversations are those that a draft has rendered.
    """
    if request.is_chat:
        return rendered_files(request, _draft_folder(request, store))
    texts = [source.text for source in sources_of(request.text)]
    allowed = _allowed(request)
    return [
        filtered(cut_to_hold_out(files_of(text, request.text_field, store)), allowed)
        for text in texts
    ]


def _open_heldout(request: CorpusRequest, store: Store) -> tuple[File, ...]:
    """The files of the held-out text that is named by the request, with allowed words alone."""
    if request.is_chat:
        return rendered_heldout(_draft_folder(request, store))
    return filtered(files_of(request.heldout, request.text_field, store), _allowed(request))


def _draft_folder(request: CorpusRequest, store: Store) -> Path:
    return store.path("corpora", "drafts", source_key(request))


def _allowed(request: CorpusRequest) -> frozenset[str] | None:
    """The words that are allowed; None: all."""
    return read_words(request.words) if request.words else None


def training_documents(file: File, held: frozenset[str]) -> Iterator[Document]:
    """The documents of a file whose units are not held out."""
    return (document for document in file.documents(TextCleaner()) if document.unit not in held)


def heldout_by_source(request: CorpusRequest, draft: Draft, store: Store) -> list[list[Document]]:
    """The held-out documents of each source; one list if held-out text is named by the request.

    In a mix, units and collections bear the name of their source.
    """
    if request.heldout:
        files = _open_heldout(request, store)
        return [list(read_units(files, choose_all(request.heldout, files).units))]
    by_source = [
        list(read_units(files, units))
        for files, units in zip(open_sources(request, store), draft.held, strict=True)
    ]
    sources = sources_of(request.text)
    if len(sources) == 1:
        return by_source
    return [
        [
            Document(collection=source.name, unit=f"{source.name}: {d.unit}", text=d.text)
            for d in documents
        ]
        for source, documents in zip(sources, by_source, strict=True)
    ]


def choose_all(text: str, files: tuple[File, ...], *, every: int = 1) -> Chosen:
    """The units of a text that are measured on: one in `every`, or those that are known by name."""
    if text not in embedded.NAMES:
        return choose_units(files, every=every)
    cleaner = TextCleaner()
    for file in files:
        next(file.documents(cleaner), None)  # all of its verses are counted at the first
    return Chosen(embedded.heldout_units_of(text), [], cleaner.kept)


def choose_heldout(request: CorpusRequest, store: Store) -> tuple[list[tuple[str, ...]], list[str]]:
    """The held-out units of each source, and notes on all files.

    Raises:
        DataError: if nothing is left of a text by the words that are allowed.
    """
    held, notes = [], passed_over_notes(texts_of(request.text, request.heldout))
    for source, files in zip(sources_of(request.text), open_sources(request, store), strict=True):
        chosen = choose_all(source.text, files, every=HELDOUT_EVERY)
        is_named = source.text in embedded.NAMES
        held.append(() if request.heldout and not is_named else chosen.units)
        notes += _notes(source.text, chosen, request)
    if request.heldout:
        chosen = choose_all(request.heldout, _open_heldout(request, store))
        notes += _notes(request.heldout, chosen, request)
    return held, notes


def _notes(text: str, chosen: Chosen, request: CorpusRequest) -> list[str]:
    check_left(text, chosen.kept, request)
    note = chosen.kept.note(name_of(text))
    return [*chosen.notes, *([note] if note else [])]


def check_left(text: str, kept: Kept, request: CorpusRequest) -> None:
    """Refuse a text of which the words that are allowed leave nothing.

    Raises:
        DataError: naming the file of words.
    """
    if kept.pieces and not kept.pieces_kept:
        raise DataError(
            f"{request.words}: none of the {kept.pieces:,} {kept.kind} of {name_of(text)} has "
            "words of this file alone, so nothing is left: allow more words"
        )


def _write_tokenizer(
    request: CorpusRequest, held: list[tuple[str, ...]], to: Path, store: Store
) -> int:
    """Write the tokenizer that is named, shipped, or trained here; returns its end-of-text id."""
    if request.tokenizer is not None:
        check_tokenizer(request.tokenizer, request.vocab_size)
    if path := named_tokenizer(request):
        to.write_text(tokenizer_file(path).read_text(encoding="utf-8"), encoding="utf-8")
        return end_of_text_id(load_tokenizer(path), path)
    tokenizer = train_tokenizer(carried(_tokenizer_texts(request, held, store)), request.vocab_size)
    to.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    return 0  # the first entry


def _tokenizer_texts(
    request: CorpusRequest, held: list[tuple[str, ...]], store: Store
) -> Iterator[str]:
    """The beginning of every source's training text, equally much of each."""
    sources = open_sources(request, store)
    for files, units in zip(sources, held, strict=True):
        remaining = TRAINING_CHARACTERS // len(sources)
        opened = tracked(files, "training a tokenizer", "bytes", size=size_of)
        for text in (d.text for file in opened for d in training_documents(file, frozenset(units))):
            yield text
            remaining -= len(text)
            if remaining <= 0:
                break
