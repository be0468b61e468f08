"""Text to token files: a corpus is made once, and its folder is named by its tokens.

`prepare_corpus` takes "embedded", "smoke" (a slice of it) or a path to plain text, and leaves

    corpora/<sha256>/              train.bin, heldout.bin, heldout.json, tokenizer.json, corpus.json
    corpora/by-source/<key>.json   which of those folders a source became

The sha256 is that of `train.bin` and then `heldout.bin`, so other held-out text is another corpus.
`find_corpus` answers from the pointers without reading any text, and without heavy imports.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill import embedded, plaintext
from raydistill.codec import to_json
from raydistill.documents import Document
from raydistill.errors import DataError
from raydistill.manifest import sha256_of
from raydistill.spec import CorpusInfo, digest
from raydistill.store import Store
from raydistill.tokenizer import (
    END_OF_TEXT,
    Encoded,
    check_tokenizer,
    encode,
    end_of_text,
    end_of_text_id,
    load_tokenizer,
    shipped_tokenizer,
    tokenizer_file,
    train_tokenizer,
)

FORMAT_VERSION = 2
EMBEDDED = ("embedded", "smoke")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pointer:
    corpus_sha256: str


def prepare_corpus(
    name_or_path: str,
    *,
    store: Store,
    tokenizer: Path | None = None,
    vocab_size: int = 2048,
    context: int = 128,
) -> Path:
    """The folder of a corpus, made if the store lacks it.

    Args:
        name_or_path: "embedded", "smoke", or a `.txt` file or a folder of them.
        store: where it is kept.
        tokenizer: a `tokenizer.json` to use, or a folder that has one; None: the shipped one for
            the embedded corpora, a new one of `vocab_size` entries for own text.
        vocab_size: entries of the model: of a tokenizer trained here, and the most of any other.
        context: a corpus with no more training tokens than this is refused.

    Raises:
        DataError: if the text or the tokenizer is missing, unreadable or too short.
    """
    found = find_corpus(name_or_path, store=store, tokenizer=tokenizer, vocab_size=vocab_size)
    if found is not None:
        return store.path("corpora", found.corpus_sha256)
    if tokenizer is not None:
        check_tokenizer(tokenizer, vocab_size)
    train, heldout = _documents(name_or_path)
    path = tokenizer or (shipped_tokenizer() if name_or_path in EMBEDDED else None)
    texts = (document.text for document in train)
    encoder = load_tokenizer(path) if path else train_tokenizer(texts, vocab_size)
    end = end_of_text_id(encoder, path) if path else 0  # the first entry of one trained here
    encoded = encode([document.text for document in train], encoder, end)
    _check_size(name_or_path, encoded, heldout, context)
    tests = encode([document.text for document in heldout], encoder, end)
    sha256 = _sha256_of_both(encoded, tests)
    with store.making("corpora", sha256) as folder:
        text = tokenizer_file(path).read_text("utf-8") if path else encoder.to_str(pretty=True)
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        (folder / "train.bin").write_bytes(encoded.data)
        (folder / "heldout.bin").write_bytes(tests.data)
        (folder / "heldout.json").write_text(_spans(heldout, tests), encoding="utf-8")
        info = CorpusInfo(
            name=name_or_path if name_or_path in EMBEDDED else Path(name_or_path).name,
            corpus_sha256=sha256,
            tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
            vocab_size=encoder.get_vocab_size(),
            token_bytes=encoded.token_bytes,
            train_tokens=encoded.tokens,
            heldout_tokens=tests.tokens,
            train_documents=len(train),
            heldout_documents=len(heldout),
            end_of_text_id=end,
        )
        (folder / "corpus.json").write_text(to_json(info), encoding="utf-8")
    key = _source_key(name_or_path, tokenizer, vocab_size)
    store.save(_Pointer(corpus_sha256=sha256), "corpora", "by-source", f"{key}.json")
    return store.path("corpora", sha256)


def check_source(
    name_or_path: str, context: int, *, tokenizer: Path | None = None, vocab_size: int = 2048
) -> None:
    """Refuse a corpus whose text is not here, and a tokenizer that is not the model's.

    No text is read: how much is too little shows later.

    Raises:
        DataError: if there is no such text, or not a byte of it; if the tokenizer is missing, has
            no end-of-text, or more entries than the `vocab_size` of the model.
    """
    if tokenizer is not None:
        check_tokenizer(tokenizer, vocab_size)
    if name_or_path in EMBEDDED:
        embedded.installed_versions()
    elif not any(f.stat().st_size for f in plaintext.files_of(_existing(name_or_path))):
        raise DataError(_too_short(name_or_path, 0, context))


def find_corpus(
    name_or_path: str, *, store: Store, tokenizer: Path | None = None, vocab_size: int = 2048
) -> CorpusInfo | None:
    """What is known of a corpus without making it: None where the store lacks it.

    Raises:
        DataError: if the source itself is missing.
    """
    key = _source_key(name_or_path, tokenizer, vocab_size)
    pointer = store.load(_Pointer, "corpora", "by-source", f"{key}.json")
    if pointer is None or not store.has("corpora", pointer.corpus_sha256):
        return None
    return store.load(CorpusInfo, "corpora", pointer.corpus_sha256, "corpus.json")


def _source_key(name_or_path: str, tokenizer: Path | None, vocab_size: int) -> str:
    """Everything that decides the token files."""
    if name_or_path in EMBEDDED:
        contents: object = [embedded.installed_versions(), list(embedded.heldout_units())]
        tokenizer = tokenizer or shipped_tokenizer()
    else:
        contents = plaintext.fingerprint(_existing(name_or_path))
    chosen = {"trained": vocab_size} if tokenizer is None else _identity(tokenizer)
    name = name_or_path if name_or_path in EMBEDDED else ""
    return digest([FORMAT_VERSION, name, contents, chosen])


def _identity(tokenizer: Path) -> dict[str, str]:
    identity = {"sha256": sha256_of(tokenizer_file(tokenizer))}
    end = end_of_text(tokenizer)
    return identity if end == END_OF_TEXT else identity | {"end_of_text": end}


def _documents(name_or_path: str) -> tuple[list[Document], list[Document]]:
    if name_or_path == "embedded":
        return embedded.split(embedded.TRANSLATIONS, every=1, heldout=embedded.HELDOUT_CHAPTERS)
    if name_or_path == "smoke":
        return embedded.split(("kjv", "bbe"), every=16, heldout=12)
    return plaintext.split(plaintext.read(_existing(name_or_path)))


def _existing(name_or_path: str) -> Path:
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    looks_like_a_path = path.is_absolute() or name_or_path.startswith((".", "~"))
    if looks_like_a_path or path.suffix == ".txt":
        raise DataError(
            f"no corpus at {path.absolute()}: it must be a .txt file or a folder of them"
        )
    raise DataError(
        f"text and tokenizer of {name_or_path!r} are not local; "
        f"there are {', '.join(EMBEDDED)}, or a path to .txt files"
    )


def _check_size(name: str, train: Encoded, heldout: Sequence[Document], context: int) -> None:
    if train.tokens <= context:
        raise DataError(_too_short(name, train.tokens, context))
    if not heldout:
        raise DataError(
            f"the corpus {name} is a single short document, so nothing can be held out: "
            "add text, or separate documents by form feeds"
        )


def _too_short(name: str, tokens: int, context: int) -> str:
    return f"the corpus {name} needs at least {context + 1} training tokens, has {tokens}"


def _sha256_of_both(train: Encoded, heldout: Encoded) -> str:
    """What names a corpus."""
    hashed = hashlib.sha256(train.data)
    hashed.update(heldout.data)
    return hashed.hexdigest()


def _spans(heldout: Sequence[Document], encoded: Encoded) -> str:
    """Which of the held-out tokens belong to which document, without its end-of-text."""
    spans = [
        {"unit": document.unit, "collection": document.collection, "start": start, "end": end}
        for document, (start, end) in zip(heldout, encoded.spans, strict=True)
    ]
    return json.dumps({"documents": spans}, indent=1)
