"""What a corpus will be, known before its text is read: what its pointer is named by."""

from raydistill.corpus import embedded
from raydistill.corpus.sources import fingerprint, sources_of
from raydistill.corpus.wanted import Wanted
from raydistill.manifest import sha256_of
from raydistill.spec import digest
from raydistill.tokenizer import END_OF_TEXT, end_of_text, shipped_tokenizer, tokenizer_file

FORMAT_VERSION = 2


def source_key(wanted: Wanted) -> str:
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


def _tokenizer(wanted: Wanted) -> dict[str, str | int]:
    path = wanted.tokenizer
    if path is None and all(s.text in embedded.NAMES for s in sources_of(wanted.text)):
        path = shipped_tokenizer()
    if path is None:
        return {"trained": wanted.vocab_size}
    identity: dict[str, str | int] = {"sha256": sha256_of(tokenizer_file(path))}
    end = end_of_text(path)
    return identity if end == END_OF_TEXT else identity | {"end_of_text": end}
