"""The held-out documents of a corpus folder: their tokens, spans (`heldout.json`) and text."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raydistill.core.serialization import from_json
from raydistill.data.documents import Document
from raydistill.data.tokenizer import load_tokenizer
from raydistill.specs.corpus import CHAT, CorpusInfo

Marks = np.ndarray[tuple[int], np.dtype[np.bool_]]
TokenIds = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The positions of one document's tokens, [start, end); its end-of-text stands at `end`."""

    unit: str
    collection: str
    start: int
    end: int


def read_info(folder: Path) -> CorpusInfo:
    """The description of the corpus in a folder."""
    return from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))


def read_spans(folder: Path) -> list[Span]:
    """The spans of the held-out documents, in order."""
    text = (folder / "heldout.json").read_text(encoding="utf-8")
    return [Span(**document) for document in json.loads(text)["documents"]]


def read_tokens(folder: Path) -> TokenIds:
    """The ids of all held-out documents, with end-of-text after every one.

    Raises:
        DataError: if an id is beyond the vocabulary, or their number is not that of the corpus.
    """
    info = read_info(folder)
    info.check_size(folder / "heldout.bin", info.heldout_tokens)
    tokens = np.fromfile(folder / "heldout.bin", dtype=f"<u{info.token_bytes}")
    info.check_largest(int(tokens.max(initial=0)), folder / "heldout.bin")
    return tokens.astype(np.int64)


def read_marks(folder: Path) -> Marks | None:
    """Which of `read_tokens` the assistant says; None of text that is no conversation.

    Raises:
        DataError: if there is not one for each token.
    """
    info = read_info(folder)
    if info.text_form != CHAT:
        return None
    info.check_mask(folder / "heldout.mask", info.heldout_tokens)
    return np.fromfile(folder / "heldout.mask", dtype=np.bool_)


def read_documents(folder: Path) -> list[Document]:
    """The held-out documents, decoded: with a byte-level tokenizer the very text it was given.

    Raises:
        DataError: if the tokenizer is missing or unreadable.
    """
    tokens, tokenizer = read_tokens(folder), load_tokenizer(folder / "tokenizer.json")
    return [
        Document(
            collection=span.collection,
            unit=span.unit,
            text=tokenizer.decode(tokens[span.start : span.end].tolist()),
        )
        for span in read_spans(folder)
    ]
