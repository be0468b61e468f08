"""What is settled before a corpus is tokenised: its tokenizer, and what is held out.

    corpora/drafts/<key>/  draft.json, tokenizer.json, runs.npy (of the held-out text), shards

A draft is kept until the corpus is whole, so that making it goes on where it was killed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raydistill.data.corpus import heldout_split as heldout
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.documents import Document
from raydistill.data.sources import embedded
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.source import File, cut_to_hold_out, files_of, sources_of
from raydistill.data.tokenizer import (
    check_tokenizer,
    end_of_text_id,
    load_tokenizer,
    shipped_tokenizer,
    tokenizer_file,
    train_tokenizer,
)
from raydistill.storage.store import Store

SHARD_CHARACTERS = 4_000_000

TRAINING_CHARACTERS = 64_000_000  # of text that a new tokenizer is trained on, from the beginning


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """Settled before tokenising. A unit is held out by its name, of each source."""

    end_of_text_id: int
    held: tuple[tuple[str, ...], ...]
    shard_characters: int
    notes: tuple[str, ...]


def begin(wanted: CorpusRequest, key: str, store: Store) -> Path:
    """The folder of a draft, with all but its shards; what is there is kept.

    Raises:
        DataError: if text or tokenizer are missing, or not as they must be.
    """
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    from raydistill.data.corpus.decontamination import all_runs  # noqa: PLC0415  (numpy)

    place = ("corpora", "drafts", key)
    folder = store.path(*place)
    if (folder / "draft.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    held, notes = _held(wanted, store)
    end = _write_tokenizer(wanted, held, folder / "tokenizer.json", store)
    draft = Draft(
        end_of_text_id=end,
        held=tuple(held),
        shard_characters=SHARD_CHARACTERS,
        notes=tuple(notes),
    )
    texts = (d.text for documents in heldout_documents(wanted, draft, store) for d in documents)
    np.save(folder / "runs.npy", all_runs(texts))
    store.save(draft, *place, "draft.json")
    return folder


def opened(wanted: CorpusRequest, store: Store) -> list[tuple[File, ...]]:
    """The files of each source."""
    sources = sources_of(wanted.text)
    return [cut_to_hold_out(files_of(each.text, wanted.text_field, store)) for each in sources]


def training(file: File, held: frozenset[str]) -> Iterator[Document]:
    """The documents of a file that are not held out."""
    return (document for document in file.documents(TextCleaner()) if document.unit not in held)


def heldout_documents(wanted: CorpusRequest, draft: Draft, store: Store) -> list[list[Document]]:
    """What is held out of each source; all of it in the first place where it is a text of its own.

    In a mix, units and collections bear the name of their source.
    """
    if wanted.heldout:
        files = files_of(wanted.heldout, wanted.text_field, store)
        return [list(heldout.read_units(files, units_to_measure(wanted.heldout, files)[0]))]
    found = [
        list(heldout.read_units(files, held))
        for files, held in zip(opened(wanted, store), draft.held, strict=True)
    ]
    sources = sources_of(wanted.text)
    if len(sources) == 1:
        return found
    return [
        [
            Document(collection=source.name, unit=f"{source.name}: {each.unit}", text=each.text)
            for each in documents
        ]
        for source, documents in zip(sources, found, strict=True)
    ]


def _held(wanted: CorpusRequest, store: Store) -> tuple[list[tuple[str, ...]], list[str]]:
    """What is held out of each source, and what there is to say of its files."""
    held, notes = [], []
    for source, files in zip(sources_of(wanted.text), opened(wanted, store), strict=True):
        if source.text in embedded.NAMES:
            held.append(embedded.held_units(source.text))
            continue
        units, said = heldout.choose(files)
        held.append(() if wanted.heldout else units)
        notes += said
    if wanted.heldout:
        notes += units_to_measure(
            wanted.heldout, files_of(wanted.heldout, wanted.text_field, store)
        )[1]
    return held, notes


def units_to_measure(text: str, files: tuple[File, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The units of a text that is only measured on, and what there is to say of its files."""
    if text in embedded.NAMES:
        return embedded.held_units(text), []
    return heldout.choose(files, every=1)


def _write_tokenizer(
    wanted: CorpusRequest, held: list[tuple[str, ...]], to: Path, store: Store
) -> int:
    """The tokenizer that is named, shipped, or trained here; returns the id of its end-of-text."""
    path = wanted.tokenizer
    if path is not None:
        check_tokenizer(path, wanted.vocab_size)
    elif all(source.text in embedded.NAMES for source in sources_of(wanted.text)):
        path = shipped_tokenizer()
    if path is not None:
        to.write_text(tokenizer_file(path).read_text(encoding="utf-8"), encoding="utf-8")
        return end_of_text_id(load_tokenizer(path), path)
    trained = train_tokenizer(_beginning(wanted, held, store), wanted.vocab_size)
    to.write_text(trained.to_str(pretty=True), encoding="utf-8")
    return 0  # the first entry


def _beginning(wanted: CorpusRequest, held: list[tuple[str, ...]], store: Store) -> Iterator[str]:
    """The training text of every source, of each no more than its part."""
    sources = opened(wanted, store)
    for files, units in zip(sources, held, strict=True):
        left = TRAINING_CHARACTERS // len(sources)
        for text in (d.text for file in files for d in training(file, frozenset(units))):
            yield text
            left -= len(text)
            if left <= 0:
                break
