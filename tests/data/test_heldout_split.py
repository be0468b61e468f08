"""Which documents are held out, and that training text does not repeat them unsaid."""

import json
import logging
import random

from raydistill.data.corpus.heldout_split import MAX_HELDOUT
from raydistill.data.corpus.preparation import (
    prepare_corpus,
)
from raydistill.storage.store import Store
from support.corpora import made, refusal
from support.texts import (
    NOUNS,
    essay,
    essays,
    heldout_texts,
    info_of,
    write_jsonl,
    write_txt,
)


def test_one_long_line_is_cut_into_documents(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 3_000 + essay(2_000).replace("\n", " "))
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "store"))
    info = json.loads((folder / "corpus.json").read_text())
    assert info["heldout_documents"] >= 2


def test_held_out_text_that_repeats_training_text_is_said(tmp_path, caplog):
    pages = [essay(8, seed) for seed in range(30)]
    copied = " ".join(pages[0].split()[:40]) + "\n"
    (tmp_path / "a.txt").write_text("\f".join(page + copied for page in pages))
    with caplog.at_level(logging.WARNING):
        prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "store"))
    assert "held-out documents repeat 12 words in a row of training text" in caplog.text


def test_a_long_line_is_one_document_that_is_held_out_whole(tmp_path, store):
    long = " ".join(essay(20_000, seed=7).split())
    corpus = made(write_jsonl(tmp_path / "a.jsonl", [*essays(), long]), store)
    assert info_of(corpus)["train_documents"] + info_of(corpus)["heldout_documents"] == 41


def test_one_in_16_is_held_out_and_never_more_than_the_most(tmp_path, store, monkeypatch):
    texts = [f"number {i} of a great many short documents" for i in range(MAX_HELDOUT // 16 * 16)]
    path = write_jsonl(tmp_path / "a.jsonl", texts)
    monkeypatch.setattr("raydistill.data.corpus.heldout_split.MAX_HELDOUT", 10)
    lowest = heldout_texts(made(path, store))
    monkeypatch.undo()
    every = heldout_texts(made(path, Store(tmp_path / "other")))
    assert (len(lowest), len(every)) == (10, MAX_HELDOUT // 16)
    assert set(lowest) < set(every)


def test_own_held_out_text_is_measured_on_and_all_the_corpus_trained_on(tmp_path, store):
    rng = random.Random(1)
    own = [" ".join(f"{rng.choice(NOUNS)}s" for _ in range(200)) for _ in range(44)]
    path = write_jsonl(tmp_path / "a.jsonl", own[:40])
    corpus = made(path, store, heldout=write_txt(tmp_path / "h.txt", own[40:]))
    assert heldout_texts(corpus) == own[40:]
    assert info_of(corpus)["train_documents"] == 40
    assert info_of(corpus)["notes"] == []


def test_own_held_out_text_that_stands_in_training_is_said(tmp_path, store):
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    corpus = made(path, store, heldout=write_jsonl(tmp_path / "h.jsonl", essays(3)))
    (note,) = info_of(corpus)["notes"]
    assert note == "3 of 3 held-out documents repeat 12 words in a row of training text"


def test_held_out_text_without_a_word_is_refused(tmp_path, store):
    (tmp_path / "h.txt").write_text(" \n")
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    assert "has no document in it" in refusal(path, store, heldout=str(tmp_path / "h.txt"))
