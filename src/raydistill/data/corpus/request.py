"""A corpus as it is requested, and the key under which the store finds it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.data.conversations.template import PACKED, required_template
from raydistill.data.sources import embedded
from raydistill.data.sources.pretokenized import is_tokenised
from raydistill.data.sources.source import (
    absolute,
    fingerprint,
    passed_over_notes,
    sources_of,
    texts_of,
)
from raydistill.data.text_beginning import begin_ids_at, beginning_notes
from raydistill.data.tokenizer import END_OF_TEXT, end_of_text, shipped_tokenizer, tokenizer_file
from raydistill.data.words import read_words
from raydistill.specs.corpus import CHAT, PLAIN
from raydistill.specs.scale import Scale
from raydistill.storage.manifest import sha256_of

FORMAT_VERSION = 2
CHAT_VERSION = 1  # of how conversations become tokens and marks


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusRequest:
    """All that decides the tokens of a corpus, besides the contents of its files.

    Attributes:
        text: "embedded", "smoke", a file or folder of text, a data set of the hub, a folder of
            tokens; or several with their shares: `a.jsonl=0.7,notes.txt=0.3`.
        tokenizer: a `tokenizer.json`, or a folder that has one; None: the shipped one for the
            embedded corpora, a new one of `vocab_size` entries for own text.
        vocab_size: entries of the model: those of a tokenizer trained here, and the maximum
            of any other.
        context: a corpus must have more training tokens.
        text_field: the key or column that holds the text, in JSON lines and Parquet.
        heldout: held-out text; empty: one document in 16.
        words: a file of words, the only ones that text may have; empty: any.
        text_form: PLAIN documents, or CHAT: conversations.
    """

    text: str
    tokenizer: Path | None = None
    vocab_size: int = 2048
    context: int = 128
    text_field: str = "text"
    heldout: str = ""
    words: str = ""
    text_form: str = PLAIN

    @property
    def is_chat(self) -> bool:
        """Whether its rows are conversations."""
        return self.text_form == CHAT


def corpus_request(scale: Scale) -> CorpusRequest:
    """The corpus of a scale; paths are absolute, as workers need them."""
    tokenizer = resolve_path(scale.tokenizer).absolute() if scale.tokenizer else None
    return CorpusRequest(
        text=absolute(scale.corpus),
        tokenizer=tokenizer,
        vocab_size=scale.model.vocab_size,
        context=scale.model.context,
        text_field=scale.text_field,
        heldout=absolute(scale.heldout),
        words=str(resolve_path(scale.words).absolute()) if scale.words else "",
        text_form=scale.text_form,
    )


def source_key(request: CorpusRequest) -> str:
    """Sixteen hex digits, the digest of everything that decides the token files.

    Raises:
        DataError: if text, tokenizer or the file of words are missing.
        UsageError: if words are allowed of text that is tokenised.
    """
    sources = sources_of(request.text)
    contents = [_contents(source.text, request.text_field) for source in sources]
    identity: tuple[str, list[object]] = contents[0]
    if len(sources) > 1:
        identity = "mix", [[s.share, *c] for s, c in zip(sources, contents, strict=True)]
    heldout = [_contents(request.heldout, request.text_field)] if request.heldout else []
    more = [*_words(request), *_chat(request)]
    return digest([FORMAT_VERSION, *identity, _tokenizer(request), *heldout, *more])


def _chat(request: CorpusRequest) -> list[dict[str, object]]:
    """What makes text of conversations, if it is made of them."""
    if not request.is_chat:
        return []
    template = required_template(request.tokenizer)
    return [{"chat": [CHAT_VERSION, template.text, *map(list, template.tokens)]}]


def _words(request: CorpusRequest) -> list[dict[str, str]]:
    """The words that are allowed, if not all are."""
    if not request.words:
        return []
    for text in texts_of(request.text, request.heldout):
        if text not in embedded.NAMES and is_tokenised(resolve_path(text)):
            raise UsageError(f"--words {request.words}: {text} is tokenised, name the text itself")
    return [{"words": digest(sorted(read_words(request.words)))}]


def expected_notes(request: CorpusRequest) -> list[str]:
    """What is known of a corpus before it is made, unlike the rest of its `notes`."""
    notes = passed_over_notes(texts_of(request.text, request.heldout))
    if len(sources_of(request.text)) > 1:
        notes.append("a mix: no text repeats, so it is cut to what its scarcest one allows")
    if request.words:
        notes.append(f"only sentences (of embedded text verses) of words in {request.words}")
    if request.is_chat:
        notes.append(PACKED)
    elif request.tokenizer is not None and not is_tokenised(resolve_path(request.text)):
        notes += beginning_notes(request.tokenizer)
    return notes


def _contents(text: str, field: str) -> tuple[str, list[object]]:
    return text if text in embedded.NAMES else "", fingerprint(text, field)


def scales_by_text(scales: Iterable[Scale]) -> list[list[Scale]]:
    """Scales, each name once, those together that read the same corpus; nothing is read."""
    by_text: dict[CorpusRequest, list[Scale]] = {}
    for scale in {scale.name: scale for scale in scales}.values():
        request = corpus_request(scale)
        trained = request.vocab_size if named_tokenizer(request) is None else 0
        text = replace(request, vocab_size=trained, context=0)
        by_text.setdefault(text, []).append(scale)
    return list(by_text.values())


def named_tokenizer(request: CorpusRequest) -> Path | None:
    """The tokenizer that is named, or shipped for the text; None: one is trained on it."""
    is_shipped = all(s.text in embedded.SHIPPED for s in sources_of(request.text))
    return shipped_tokenizer() if request.tokenizer is None and is_shipped else request.tokenizer


def _tokenizer(request: CorpusRequest) -> dict[str, object]:
    path = named_tokenizer(request)
    if path is None:
        return {"trained": request.vocab_size}
    identity: dict[str, object] = {"sha256": sha256_of(tokenizer_file(path))}
    if (end := end_of_text(path)) != END_OF_TEXT:
        identity["end_of_text"] = end
    if begin := begin_ids_at(path):
        identity["begins_with"] = begin
    return identity
