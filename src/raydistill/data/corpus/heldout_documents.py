"""`heldout.json`: which held-out tokens are which document, without its end-of-text."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raydistill.core.serialization import from_json
from raydistill.data.documents import Document
from raydistill.data.tokenizer import load_tokenizer
from raydistill.specs.corpus import CorpusInfo

TokenIds = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Which tokens are one document; its end-of-text stands at `end`."""

    unit: str
    collection: str
    start: int
    end: int


def read_info(folder: Path) -> CorpusInfo:
    """What is known of the corpus."""
    return from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))


def read_spans(folder: Path) -> list[Span]:
    """The held-out documents, in order."""
    text = (folder / "heldout.json").read_text(encoding="utf-8")
    return [Span(**document) for document in json.loads(text)["documents"]]


def read_tokens(folder: Path) -> TokenIds:
    """The ids of all held-out documents, each followed by end-of-text.

    Raises:
        DataError: if one is beyond the vocabulary, or there are more or fewer than there were.
    """
    info = read_info(folder)
    info.check_size(folder / "heldout.bin", info.heldout_tokens)
    tokens = np.fromfile(folder / "heldout.bin", dtype=f"<u{info.token_bytes}")
    info.check_largest(int(tokens.max(initial=0)), folder / "heldout.bin")
    return tokens.astype(np.int64)


def read_documents(folder: Path) -> list[Document]:
    """The text of the held-out documents: what a byte-level tokenizer was given, to the letter.

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
