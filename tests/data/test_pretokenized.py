"""Folders of tokens that were made elsewhere are checked and copied."""

import hashlib
import json
import shutil

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.data.corpus.preparation import (
    build_corpus,
    find_corpus,
)
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.storage.store import Store
from support.corpora import made, refusal
from support.texts import (
    essays,
    write_jsonl,
)


def test_a_folder_of_tokens_is_checked_and_copied(tmp_path, store):
    first = made(write_jsonl(tmp_path / "a.jsonl", essays()), store)
    elsewhere = shutil.copytree(first, tmp_path / "elsewhere")
    (elsewhere / "manifest.json").unlink()
    other = Store(tmp_path / "other")
    copy = made(elsewhere, other)
    assert copy.name == first.name
    assert find_corpus(CorpusRequest(text=str(elsewhere), tokenizer=shipped_tokenizer()), other)
    for name in ("train.bin", "heldout.bin", "heldout.json", "tokenizer.json", "corpus.json"):
        assert (copy / name).read_bytes() == (first / name).read_bytes()


def test_a_folder_of_tokens_that_does_not_fit_is_refused(tmp_path, store):
    first = made(write_jsonl(tmp_path / "a.jsonl", essays()), Store(tmp_path / "other"))
    tokenizer = json.loads((first / "tokenizer.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match="were made with another tokenizer"):
        build_corpus(CorpusRequest(text=str(first), tokenizer=tmp_path / "t.json"), store)
    assert "have 2048 ids, up to 2047; the model knows those below 2000" in refusal(
        first, store, vocab_size=2000
    )
    with pytest.raises(UsageError, match="stands alone"):
        made(first, store, heldout=str(first))
    content = bytearray((first / "train.bin").read_bytes())
    content[-2:] = (60_000).to_bytes(2, "little")
    (first / "train.bin").write_bytes(content)
    assert "they were changed" in refusal(first, store)
    about = json.loads((first / "corpus.json").read_text())
    about["corpus_sha256"] = hashlib.sha256(
        content + (first / "heldout.bin").read_bytes()
    ).hexdigest()
    (first / "corpus.json").write_text(json.dumps(about))
    message = "train.bin holds the token id 60000, beyond its vocabulary of 2048"
    assert message in refusal(first, store)
