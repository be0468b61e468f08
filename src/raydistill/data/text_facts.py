"""The facts of a tokenised corpus: its words, its bytes, and what word frequencies alone predict.

A corpus is read once for them: of a long one the tokens of training are counted in blocks that are
spread evenly over it, and its words are not.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raydistill.data.corpus.heldout_documents import read_info, read_spans, read_tokens
from raydistill.data.heldout_windows import heldout_windows
from raydistill.data.masking import heldout_places
from raydistill.data.tokenizer import load_tokenizer
from raydistill.data.words import words_of
from raydistill.specs.corpus import (
    CorpusInfo,
    MaskedLine,
    TextFacts,
    facts_path,
    masked_line_path,
)
from raydistill.storage.store import Store

MOST_COUNTED = 1 << 26  # training tokens
MOST_DECODED = 1 << 23  # to count the words of training text
_BLOCK = 1 << 20  # tokens

Counts = NDArray[np.float64]


def make_facts(folder: Path, store: Store) -> None:
    """Store the facts of the corpus in a folder, unless they are there; none without a target."""
    info = read_info(folder)
    path = facts_path(info.corpus_sha256)
    if store.path(*path).is_file():
        return
    if facts := _facts(folder, info):
        store.save(facts, *path)


def make_masked_line(
    folder: Path, store: Store, *, share: float, windows: int, context: int
) -> None:
    """Store the unigram line of a masked loss on a corpus, unless it is there.

    The arguments are those of `evaluation/likelihood/masked_perplexity.py`. None is stored where
    no token is hidden.
    """
    info = read_info(folder)
    path = masked_line_path(info.corpus_sha256, share, windows, context)
    if store.path(*path).is_file():
        return
    tokens, begins = read_tokens(folder), len(info.begin_ids)
    hidden = []
    for window in heldout_windows(folder, windows=windows, context=context):
        text = tokens[window.start : window.end][: context - begins]
        hidden.append(text[heldout_places(text, window.start, share, info.end_of_text_id)])
    targets = np.concatenate(hidden)
    if not len(targets):
        return
    counts_V, _ = _unigram(folder, info)
    counts_V[info.end_of_text_id] = 0
    log_p_V = np.log((counts_V + 1) / (counts_V + 1).sum())
    line = MaskedLine(
        corpus_sha256=info.corpus_sha256,
        share=share,
        windows=windows,
        context=context,
        targets=len(targets),
        unigram_nats=-float(log_p_V[targets].mean()),
    )
    store.save(line, *path)


def _facts(folder: Path, info: CorpusInfo) -> TextFacts | None:
    tokens, spans = read_tokens(folder), read_spans(folder)
    first = 0 if info.begin_ids else 1  # a document's first token is no target without a beginning
    targets = [tokens[span.start + first : span.end] for span in spans]
    if not sum(map(len, targets)):
        return None
    counts_V, counted = _unigram(folder, info)
    probabilities_V = (counts_V + 1) / (counted + info.vocab_size)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    documents = [tokens[span.start : span.end].tolist() for span in spans]
    texts = tokenizer.decode_batch(documents)
    heldout = [word for text in texts for word in words_of(text)]
    train_words, types = 0, set[str]()
    if info.train_tokens <= MOST_DECODED:
        for ids in _blocks_of_documents(folder, info):
            words = [word for text in tokenizer.decode_batch(ids) for word in words_of(text)]
            train_words += len(words)
            types.update(words)
    return TextFacts(
        corpus_sha256=info.corpus_sha256,
        name=info.name,
        words=len(types.union(heldout)) if train_words else 0,
        train_words=train_words,
        heldout_words=len(heldout),
        train_tokens=info.train_tokens,
        heldout_tokens=sum(map(len, documents)),
        heldout_bytes=sum(len(text.encode()) for text in texts),
        unigram_nats=float(-np.log(probabilities_V)[np.concatenate(targets)].mean()),
        unigram_tokens=counted,
    )


def _unigram(folder: Path, info: CorpusInfo) -> tuple[Counts, int]:
    """How often training text has each id, and how many tokens were counted."""
    train = _train_tokens(folder, info)
    starts = range(0, len(train), _BLOCK)
    size = min(len(starts), MOST_COUNTED // _BLOCK)
    counts_V = np.zeros(info.vocab_size)
    for number in range(size):
        start = starts[number * len(starts) // size]
        counts_V += np.bincount(train[start : start + _BLOCK], minlength=info.vocab_size)
    return counts_V, int(counts_V.sum())


def _train_tokens(folder: Path, info: CorpusInfo) -> "NDArray[np.unsignedinteger]":
    info.check_size(folder / "train.bin", info.train_tokens)
    return np.memmap(folder / "train.bin", dtype=f"<u{info.token_bytes}", mode="r")


def _blocks_of_documents(folder: Path, info: CorpusInfo) -> Iterator[Sequence[list[int]]]:
    """The ids of the training documents, some at a time."""
    train = _train_tokens(folder, info)
    ends = np.flatnonzero(train == info.end_of_text_id).tolist()
    spans = itertools.pairwise([-1, *ends])
    while block := list(itertools.islice(spans, 256)):
        yield [train[before + 1 : end].tolist() for before, end in block]
