"""Several texts in shares of the training tokens."""

import json

import pytest

from raydistill.core.errors import UsageError
from raydistill.data.corpus.preparation import (
    find_corpus,
)
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import shipped_tokenizer
from support.corpora import made
from support.texts import (
    essay,
    essays,
    info_of,
    write_jsonl,
    write_txt,
)


def test_shares_are_of_training_tokens_and_the_scarcest_text_decides(tmp_path, store):
    one = write_jsonl(tmp_path / "a.jsonl", essays(60))
    two = write_txt(tmp_path / "b.txt", [essay(5, seed) for seed in range(1000, 1400)])
    corpus = made(f"{one}=0.75,{two}=0.25", store)
    info = info_of(corpus)
    alone = info_of(made(one, store))
    assert info["name"] == "a.jsonl=0.75,b.txt=0.25"
    assert alone["train_tokens"] / info["train_tokens"] == pytest.approx(0.75, abs=0.01)
    assert info["notes"][0].startswith("mix: a.jsonl 7")
    assert "nothing repeats, so the scarcest text decides" in info["notes"][0]
    held = json.loads((corpus / "heldout.json").read_text())["documents"]
    assert {document["collection"] for document in held} == {"a.jsonl", "b.txt"}
    units = [document["unit"] for document in held]
    assert len(set(units)) == len(units)


def test_shares_are_relative_and_a_mix_with_the_embedded_text_works(tmp_path, store):
    path = write_jsonl(tmp_path / "a.jsonl", essays(60))
    first = made(f"smoke=1,{path}=1", store)
    assert made(f"smoke=0.5,{path}=0.5", store) == first
    assert (
        find_corpus(CorpusRequest(text=f"smoke=2,{path}=1", tokenizer=shipped_tokenizer()), store)
        is None
    )


@pytest.mark.parametrize("text", ["a.txt=0.5,b.txt", "a.txt=0,b.txt=1", "a.txt=x", "a=1,a=2", "=1"])
def test_shares_that_are_none_are_refused(store, text):
    with pytest.raises(UsageError, match="share"):
        made(text, store)
