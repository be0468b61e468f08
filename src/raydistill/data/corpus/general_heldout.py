"""A second, general held-out text: damage shows there that a narrow corpus can hide.

    corpora/general/<key>/  heldout.bin, heldout.json, tokenizer.json, corpus.json

It is read with the tokenizer of the corpus beside which it is measured; nothing is trained on it.
"""

import hashlib
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.serialization import digest, from_json, to_json
from raydistill.data.corpus.draft import units_to_measure
from raydistill.data.corpus.heldout_split import read_units
from raydistill.data.corpus.spans import spans_json
from raydistill.data.sources.source import files_of, fingerprint, name_of
from raydistill.data.tokenizer import encode, load_tokenizer
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.store import Store


def general_text(text: str, field: str) -> str:
    """What `EvalSpec.general` calls a text, known before it is read.

    Raises:
        DataError: if there is no such text.
    """
    return digest(["general", *fingerprint(text, field)])


def make_general(text: str, field: str, corpus: Path, store: Store) -> None:
    """The tokens of a general text for the tokenizer of `corpus`, made if the store lacks them.

    Raises:
        DataError: if the text cannot be read, or has no document.
    """
    info = from_json(CorpusInfo, (corpus / "corpus.json").read_text(encoding="utf-8"))
    folder = store.general(general_text(text, field), info.tokenizer_sha256)
    place = folder.relative_to(store.root).parts
    if store.has(*place):
        return
    files = files_of(text, field, store)
    documents = list(read_units(files, units_to_measure(text, files)[0]))
    if not documents:
        raise DataError(f"the general held-out text {text} has no document in it")
    tokenizer = load_tokenizer(corpus / "tokenizer.json")
    encoded = encode([each.text for each in documents], tokenizer, info.end_of_text_id)
    about = CorpusInfo(
        name=name_of(text),
        corpus_sha256=hashlib.sha256(encoded.data).hexdigest(),
        tokenizer_sha256=info.tokenizer_sha256,
        vocab_size=info.vocab_size,
        token_bytes=encoded.token_bytes,
        train_tokens=0,
        heldout_tokens=encoded.tokens,
        train_documents=0,
        heldout_documents=len(documents),
        end_of_text_id=info.end_of_text_id,
    )
    with store.making(*place) as draft:
        (draft / "tokenizer.json").write_bytes((corpus / "tokenizer.json").read_bytes())
        (draft / "heldout.bin").write_bytes(encoded.data)
        (draft / "heldout.json").write_text(spans_json(documents, encoded), encoding="utf-8")
        (draft / "corpus.json").write_text(to_json(about), encoding="utf-8")
