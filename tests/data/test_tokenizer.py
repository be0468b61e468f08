"""Tokenizers that a corpus is made with: the shipped one, and those that checkpoints bring."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from raydistill.data.corpus.preparation import (
    build_corpus,
    prepare_corpus,
)
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import END_OF_TEXT, shipped_tokenizer, why_other_ids
from raydistill.storage.store import Store
from support.corpora import refusal
from support.texts import (
    essay,
    essays,
    info_of,
    tokens,
    write_jsonl,
)


def test_a_named_tokenizer_is_used_as_it_is(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    folder = prepare_corpus(
        str(tmp_path / "a.txt"), store=Store(tmp_path / "store"), tokenizer=shipped_tokenizer()
    )
    assert (folder / "tokenizer.json").read_bytes() == shipped_tokenizer().read_bytes()


def word_tokenizer(path, size, words):
    vocabulary = {END_OF_TEXT: 0, **{f"w{i}": i for i in range(1, size - len(words))}}
    vocabulary |= {word: size - 1 - i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path):
    word_tokenizer(tmp_path / "t.json", 70_000, ["king", "river"])
    (tmp_path / "a.txt").write_text(essay())
    folder = prepare_corpus(
        str(tmp_path / "a.txt"),
        store=Store(tmp_path / "s"),
        tokenizer=tmp_path / "t.json",
        vocab_size=70_000,
    )
    assert json.loads((folder / "corpus.json").read_text())["token_bytes"] == 4
    assert tokens(folder).max() == 69_999


def word_model(folder, end="</s>", config=None):
    """A folder as a checkpoint brings it: its end-of-text is not the first entry, nor ours."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "king": 1, end: 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("eos", ["</s>", {"content": "</s>", "special": True}])
def test_a_tokenizer_that_is_not_ours_ends_texts_in_its_own_way(tmp_path, eos):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": eos})
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "s"), tokenizer=model)
    info = json.loads((folder / "corpus.json").read_text())
    assert info["end_of_text_id"] == 2
    assert (tokens(folder) == 2).sum() == info["train_documents"]
    assert info["train_tokens"] > 6 * info["train_documents"], "nothing is cut, nothing padded"
    spans = json.loads((folder / "heldout.json").read_text())["documents"]
    assert [d["end"] for d in spans] == np.flatnonzero(tokens(folder, "heldout") == 2).tolist()


def test_another_end_of_text_is_another_corpus(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": "</s>"})
    store, text = Store(tmp_path / "store"), str(tmp_path / "a.txt")
    first = prepare_corpus(text, store=store, tokenizer=model)
    (model / "tokenizer_config.json").write_text('{"eos_token": "king"}')
    assert prepare_corpus(text, store=store, tokenizer=model) != first


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path, store):
    (tmp_path / "a.txt").write_text(essay())
    Tokenizer(models.BPE()).save(str(tmp_path / "t.json"))
    message = refusal(tmp_path / "a.txt", store, tokenizer=tmp_path / "t.json")
    assert "has no <|endoftext|>" in message


def test_a_tokenizer_without_the_end_of_text_of_its_configuration_is_refused(tmp_path, store):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": "<eos>"})
    assert "has no <eos>" in refusal(tmp_path / "a.txt", store, tokenizer=model)
    (model / "tokenizer_config.json").write_text("{")
    message = refusal(tmp_path / "a.txt", store, tokenizer=model)
    assert "tokenizer_config.json is not JSON" in message


def test_a_tokenizer_with_more_entries_than_the_model_is_refused(tmp_path, store):
    (tmp_path / "a.txt").write_text(essay())
    message = refusal(tmp_path / "a.txt", store, tokenizer=shipped_tokenizer(), vocab_size=2000)
    assert "gives texts ids up to 2047" in message
    assert "the model has 2000 entries" in message


def test_a_tokenizer_that_is_missing_or_broken_is_named(tmp_path, store):
    (tmp_path / "a.txt").write_text(essay())
    (tmp_path / "t.json").write_text("{")
    for name, message in (("no.json", "no tokenizer at"), ("t.json", "is not a tokenizer.json")):
        assert message in refusal(tmp_path / "a.txt", store, tokenizer=tmp_path / name)


def test_ids_may_be_beyond_the_number_of_entries_but_not_the_models(tmp_path, store):
    vocabulary = {END_OF_TEXT: 0, "[UNK]": 1, "king": 99}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "t.json"))
    (tmp_path / "a.txt").write_text(essay())
    named = {"tokenizer": tmp_path / "t.json"}
    message = refusal(tmp_path / "a.txt", store, **named, vocab_size=99)
    assert "gives texts ids up to 99 ('king'), the model has 99 entries" in message
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, **named, vocab_size=100)
    assert (info_of(folder)["vocab_size"], tokens(folder).max()) == (100, 99)


def test_a_special_token_beyond_the_models_entries_is_none_of_a_text(tmp_path, store):
    """As Gemma 3's tokenizer has it, with a place for pictures that its text models lack."""
    tokenizer = Tokenizer.from_file(str(shipped_tokenizer()))
    tokenizer.add_special_tokens(["<picture>"])
    tokenizer.save(str(tmp_path / "t.json"))
    (tmp_path / "a.txt").write_text(f"{essay()}\n<picture>\n{essay()}")
    named = {"tokenizer": tmp_path / "t.json", "vocab_size": 2048}
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, **named)
    assert info_of(folder)["vocab_size"] == 2048 > tokens(folder).max()
    tokenizer.add_tokens(["kingfisher"])
    tokenizer.save(str(tmp_path / "t.json"))
    message = refusal(tmp_path / "a.txt", Store(tmp_path / "other"), **named)
    assert "gives texts ids up to 2049 ('kingfisher'), the model has 2048 entries" in message


def test_a_line_of_50_mb_is_tokenised_in_pieces_without_an_end_between(tmp_path, store):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, essays())
    with path.open("a") as file:
        file.write(json.dumps({"text": "x" * 3_000_000, "other": "y" * 47_000_000}))
    tokenizer = Tokenizer(models.WordLevel({END_OF_TEXT: 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    corpus = build_corpus(CorpusRequest(text=str(path), tokenizer=tmp_path, context=8), store)
    ids, info = np.concatenate([tokens(corpus), tokens(corpus, "heldout")]), info_of(corpus)
    assert info["train_documents"] + info["heldout_documents"] == 41
    assert (ids == 0).sum() == 41
    assert (ids == 1).sum() == 40 + 3


def test_of_older_files_the_command_that_makes_a_tokenizer_json_is_printed(tmp_path, store):
    (tmp_path / "a.txt").write_text(essay())
    folder = tmp_path / "GPT-2's"
    folder.mkdir()
    written = json.loads(shipped_tokenizer().read_text("utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(written["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in written["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    about = {"tokenizer_class": "GPT2Tokenizer", "eos_token": END_OF_TEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    message = refusal(tmp_path / "a.txt", store, tokenizer=folder)
    assert "has vocab.json and no tokenizer.json; make one of it: python -c " in message
    words = shlex.split(message.partition("make one of it: ")[2])
    subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True)
    texts = [
        (prepare_corpus(str(tmp_path / "a.txt"), store=store, tokenizer=tokenizer))
        for tokenizer in (folder, shipped_tokenizer())
    ]
    assert tokens(texts[0]).tolist() == tokens(texts[1]).tolist()


def changed(folder, change):
    """The shipped tokenizer with a change of its JSON."""
    whole = json.loads(shipped_tokenizer().read_text("utf-8"))
    change(whole)
    file = folder / "changed.json"
    file.write_text(json.dumps(whole), "utf-8")
    return file


def with_entry(text, *, special):
    def change(whole):
        token = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        whole["added_tokens"].append(token | {"id": 2048, "content": text, "special": special})

    return change


def test_a_tokenizer_with_more_entries_reads_the_same_ids(tmp_path):
    own = shipped_tokenizer()
    assert why_other_ids(own, own, 2048) == ""
    more = changed(tmp_path, with_entry("<picture>", special=True))
    assert why_other_ids(own, more, 2048) == ""
    assert why_other_ids(more, own, 2048) == ""  # no text has what the other lacks
    thinks = changed(tmp_path, with_entry("<think>", special=False))
    assert why_other_ids(own, thinks, 2048) == ""
    assert "id 2048 is '<think>' to the students and nothing to" in why_other_ids(thinks, own, 2112)
    assert "ids up to 2048, and the teacher knows those below 2048" in why_other_ids(
        thinks, thinks, 2048
    )


def test_a_tokenizer_that_cuts_texts_otherwise_reads_other_ids(tmp_path):
    def fewer_merges(whole):
        del whole["model"]["merges"][100]

    def lower(whole):
        whole["normalizer"] = {"type": "Lowercase"}

    def shown(whole):
        whole["post_processor"], whole["truncation"] = None, None

    own = shipped_tokenizer()
    assert why_other_ids(own, changed(tmp_path, fewer_merges), 2048) == (
        "it cuts texts otherwise (merges)"
    )
    assert "(normalizer)" in why_other_ids(own, changed(tmp_path, lower), 2048)
    assert why_other_ids(own, changed(tmp_path, shown), 2048) == ""
