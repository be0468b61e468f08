"""Documents of a corpus in passages, from which labelled items are made: verses, or sentences."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from raydistill.data.corpus.heldout_documents import read_documents, read_info
from raydistill.data.documents import Document, Passages, sentences_of
from raydistill.data.sources import embedded
from raydistill.data.tokenizer import load_tokenizer
from raydistill.data.words import words_of
from raydistill.specs.corpus import CorpusInfo

TRAINING_UNITS = 320  # from all over the embedded text
TRAINING_TOKENS = 400_000  # of any other text, from its beginning


def read_passages(folder: Path) -> tuple[list[Passages], list[Passages]]:
    """Training documents and held-out ones of a corpus folder, in passages.

    Those of the embedded texts are chapters in verses; all others, and what `--words` leaves of
    the embedded ones, are in sentences, and training documents are those at the beginning of
    `train.bin`.

    Raises:
        DataError: if the tokenizer is missing or unreadable.
    """
    info, heldout = read_info(folder), read_documents(folder)
    if info.name in embedded.NAMES:
        own = embedded.documents_of(info.name)
        if [*map(_words, own.heldout)] == [*map(_words, heldout)]:
            units = list(dict.fromkeys(document.unit for document in own.train))
            some = set(units[:: math.ceil(len(units) / TRAINING_UNITS)])
            train = [document for document in own.train if document.unit in some]
            return _in_verses(train), _in_verses(own.heldout)
    return [_in_sentences(d) for d in _beginning(folder, info)], [*map(_in_sentences, heldout)]


def _words(document: Document) -> list[str]:
    return words_of(document.text)


def _in_verses(documents: Iterable[Document]) -> list[Passages]:
    """Chapters in those of their verses that they have: of some texts, not all."""
    by_collection: dict[str, dict[str, str]] = {}
    for document in documents:
        by_collection.setdefault(document.collection, {})[document.unit] = document.text
    return [
        Passages(
            collection=collection,
            unit=unit,
            texts=tuple(verse if verse in texts[unit] else "" for verse in verses),
            are_verses=True,
        )
        for collection, texts in by_collection.items()
        for unit, verses in embedded.verses(collection, texts).items()
    ]


def _in_sentences(document: Document) -> Passages:
    texts = tuple(" ".join(sentence.split()) for sentence in sentences_of(document.text))
    return Passages(collection=document.collection, unit=document.unit, texts=texts)


def _beginning(folder: Path, info: CorpusInfo) -> Iterator[Document]:
    """The documents at the beginning of the training text, decoded; their units are numbers."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    tokens = np.fromfile(folder / "train.bin", f"<u{info.token_bytes}", TRAINING_TOKENS)
    ends = np.flatnonzero(tokens == info.end_of_text_id)
    for number, ids in enumerate(np.split(tokens, ends)):
        text = tokenizer.decode(ids[ids != info.end_of_text_id].tolist())
        yield Document(collection="", unit=str(number), text=text)
