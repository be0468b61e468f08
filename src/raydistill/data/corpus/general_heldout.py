"""A second, general held-out text, which shows damage that a narrow corpus can hide.

    corpora/general/<key>/  heldout.bin, heldout.json, tokenizer.json, corpus.json

It is tokenised with the corpus' tokenizer; nothing is trained on it.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.serialization import digest, from_json
from raydistill.data.corpus.draft import choose_all
from raydistill.data.corpus.heldout_files import write_heldout
from raydistill.data.corpus.heldout_split import read_units
from raydistill.data.sources.source import files_of, fingerprint, name_of
from raydistill.data.tokenizer import encode, load_tokenizer
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.store import Store


def general_text(text: str, field: str) -> str:
    """The identity of a general text (`EvalSpec.general`), known before it is read.

    Raises:
        DataError: if there is no such text.
    """
    return digest(["general", *fingerprint(text, field)])


def make_general(text: str, field: str, corpus: Path, store: Store) -> None:
    """Tokenise a general text with the tokenizer of `corpus`, unless the store has its tokens.

    Raises:
        DataError: if the text cannot be read, or has no document.
    """
    info = from_json(CorpusInfo, (corpus / "corpus.json").read_text(encoding="utf-8"))
    folder = store.general(general_text(text, field), info)
    parts = folder.relative_to(store.root).parts
    if store.has(*parts):
        return
    files = files_of(text, field, store)
    documents = list(read_units(files, choose_all(text, files).units))
    if not documents:
        raise DataError(f"the general held-out text {text} has no document in it")
    tokenizer = load_tokenizer(corpus / "tokenizer.json")
    texts = [document.text for document in documents]
    encoded = encode(texts, tokenizer, info.end_of_text_id, info.begin_ids)
    general = replace(
        info,
        name=name_of(text),
        corpus_sha256=hashlib.sha256(encoded.data).hexdigest(),
        token_bytes=encoded.token_bytes,
        train_tokens=0,
        heldout_tokens=encoded.tokens,
        train_documents=0,
        heldout_documents=len(documents),
        notes=(),
    )
    with store.making(*parts) as draft:
        write_heldout(draft, general, corpus / "tokenizer.json", documents, encoded)
