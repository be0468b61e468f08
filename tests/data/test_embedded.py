"""The embedded text: clean chapters, and a held-out list that training does not repeat."""

import pytest

from raydistill.data.documents import runs_of
from raydistill.data.sources import embedded
from support.corpora import refusal
from support.heldout_rule import choose_heldout


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
