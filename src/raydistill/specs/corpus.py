"""What is known of a tokenised corpus."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError

PLAIN, CHAT = "plain", "chat"
TEXT_FORMS = PLAIN, CHAT
"""What a row of a text is: a document, or a conversation, whose assistant is learned."""

EMBEDDED, SMOKE = "embedded", "smoke"
EMBEDDED_TEXTS = (EMBEDDED, SMOKE, "bbe", "bbe-2000", "bbe-1000")  # that come with the package


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusInfo:
    """A tokenised corpus; `corpus_sha256` is that of `train.bin` followed by `heldout.bin`.

    Of conversations `train.mask` and `heldout.mask` follow, which have a byte for each token.
    """

    name: str
    corpus_sha256: str
    tokenizer_sha256: str
    vocab_size: int
    token_bytes: int  # 2 for up to 65,536 entries, else 4
    train_tokens: int
    heldout_tokens: int
    train_documents: int
    heldout_documents: int
    end_of_text_id: int = 0
    notes: tuple[str, ...] = ()  # what was mended, cut or noticed while it was made
    begin_ids: tuple[int, ...] = ()  # before every document, as its tokenizer begins texts
    text_form: str = PLAIN  # one of TEXT_FORMS
    mask_sha256: str = ""  # of `train.mask` followed by `heldout.mask`; empty of plain text

    def check_size(self, file: Path, tokens: int) -> None:
        """Refuse a file that does not hold exactly this many tokens.

        Raises:
            DataError: naming it.
        """
        size = file.stat().st_size if file.is_file() else 0
        if size != (expected := tokens * self.token_bytes):
            raise DataError(
                f"{file} has {size} bytes, not {expected}: it was changed; delete {file.parent}"
            )

    def check_mask(self, file: Path, tokens: int) -> None:
        """Refuse a file of marks that has not exactly one byte for each of this many tokens.

        Raises:
            DataError: naming it.
        """
        size = file.stat().st_size if file.is_file() else 0
        if size != tokens:
            raise DataError(
                f"{file} has {size} bytes, not {tokens}: it was changed; delete {file.parent}"
            )

    def check_largest(self, token_id: int, file: Path) -> None:
        """Refuse a file whose largest id is beyond the vocabulary.

        A GPU would only report a failed assertion.

        Raises:
            DataError: naming it.
        """
        if token_id >= self.vocab_size:
            raise DataError(
                f"{file} holds the token id {token_id}, beyond its vocabulary of "
                f"{self.vocab_size}: it was changed; delete {file.parent}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFacts:
    """What its tokens say of a corpus as a text (`data/text_facts.py`).

    `unigram_nats` is the loss of a model that knows word frequencies only: nats per target of the
    held-out documents, all of them, by the counts of training tokens, each raised by one.
    """

    corpus_sha256: str
    name: str
    words: int  # different ones, of training and held-out text; 0: not counted, as the text is long
    train_words: int  # 0: not counted
    heldout_words: int
    train_tokens: int
    heldout_tokens: int  # of documents, without what begins and ends them
    heldout_bytes: int  # of the same, in UTF-8
    unigram_nats: float
    unigram_tokens: int  # of training, that were counted


def facts_path(corpus_sha256: str) -> tuple[str, str]:
    """Where the store keeps the facts of a corpus."""
    return "text_facts", f"{corpus_sha256}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedLine:
    """The unigram line of a masked loss: nats of the very tokens that it is measured on.

    By the counts of training tokens but end-of-text, which is not hidden, each raised by one.
    """

    corpus_sha256: str
    share: float  # of a window, the hidden tokens
    windows: int  # of held-out text
    context: int  # tokens that a model reads of a window
    targets: int  # hidden, in all windows
    unigram_nats: float


def masked_line_path(
    corpus_sha256: str, share: float, windows: int, context: int
) -> tuple[str, str]:
    """Where the store keeps the line of a masked loss.

    >>> masked_line_path("c0ffee", 0.15, 160, 128)
    ('text_facts', 'c0ffee-masked-0.15-160-128.json')
    """
    return "text_facts", f"{corpus_sha256}-masked-{share:g}-{windows}-{context}.json"


def bits_per_byte(nll: float, facts: TextFacts) -> float:
    """A loss in nats per held-out token as bits per byte of text, which tokenizers do not change.

    A document's first token, which most models do not predict, counts as the mean of the others.

    >>> facts = TextFacts(corpus_sha256="", name="", words=0, train_words=0, heldout_words=0,
    ...     train_tokens=0, heldout_tokens=100, heldout_bytes=400, unigram_nats=0, unigram_tokens=0)
    >>> bits_per_byte(4 * math.log(2), facts)
    1.0
    """
    return nll / math.log(2) * facts.heldout_tokens / facts.heldout_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """A tokenizer's chat template, with the special tokens that it may write, by name, sorted."""

    text: str
    tokens: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedChat:
    """A conversation as text, and which characters [start, end) of it the assistant says."""

    text: str
    turns: tuple[tuple[int, int], ...]
    is_marked: bool  # by the template itself; else by what it adds for each turn


Messages = Sequence[Mapping[str, Any]]
Render = Callable[[Messages], RenderedChat | str]  # or why it cannot be
Renderer = Callable[[ChatTemplate], Render]
