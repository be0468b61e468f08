"""A corpus as it is asked for."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.data.sources import embedded
from raydistill.data.sources.source import absolute, fingerprint, sources_of
from raydistill.data.tokenizer import END_OF_TEXT, end_of_text, shipped_tokenizer, tokenizer_file
from raydistill.specs.scale import Scale
from raydistill.storage.manifest import sha256_of


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusRequest:
    """Everything that decides the tokens of a corpus, but for what its files hold.

    Attributes:
        text: "embedded", "smoke", a file or folder of text, a data set of the hub, a folder of
            tokens; or several with their shares: `a.jsonl=0.7,notes.txt=0.3`.
        tokenizer: a `tokenizer.json`, or a folder that has one; None: the shipped one for the
            embedded corpora, a new one of `vocab_size` entries for own text.
        vocab_size: entries of the model: of a tokenizer trained here, and the most of any other.
        context: a corpus with no more training tokens than this is refused.
        text_field: the key or column that holds the text, in JSON lines and Parquet.
        heldout: text to measure on instead of one document in 16; empty: those.
    """

    text: str
    tokenizer: Path | None = None
    vocab_size: int = 2048
    context: int = 128
    text_field: str = "text"
    heldout: str = ""


def corpus_request(scale: Scale) -> CorpusRequest:
    """The corpus that a scale's models are trained on; paths are absolute, as workers need them."""
    tokenizer = resolve_path(scale.tokenizer).absolute() if scale.tokenizer else None
    return CorpusRequest(
        text=absolute(scale.corpus),
        tokenizer=tokenizer,
        vocab_size=scale.model.vocab_size,
        context=scale.model.context,
        text_field=scale.text_field,
        heldout=absolute(scale.heldout),
    )


FORMAT_VERSION = 2


def source_key(wanted: CorpusRequest) -> str:
    """Sixteen hex digits of everything that decides the token files.

    Raises:
        DataError: if text or tokenizer are missing.
    """
    sources = sources_of(wanted.text)
    named = [_contents(source.text, wanted.text_field) for source in sources]
    name, contents = named[0]
    if len(sources) > 1:
        name = "mix"
        contents = [[source.share, *each] for source, each in zip(sources, named, strict=True)]
    own = [_contents(wanted.heldout, wanted.text_field)] if wanted.heldout else []
    return digest([FORMAT_VERSION, name, contents, _tokenizer(wanted), *own])


def _contents(text: str, field: str) -> tuple[str, list[object]]:
    return text if text in embedded.NAMES else "", fingerprint(text, field)


def _tokenizer(wanted: CorpusRequest) -> dict[str, str | int]:
    path = wanted.tokenizer
    if path is None and all(s.text in embedded.NAMES for s in sources_of(wanted.text)):
        path = shipped_tokenizer()
    if path is None:
        return {"trained": wanted.vocab_size}
    identity: dict[str, str | int] = {"sha256": sha256_of(tokenizer_file(path))}
    end = end_of_text(path)
    return identity if end == END_OF_TEXT else identity | {"end_of_text": end}
