"""Probes: labels that are known, of documents that are apart, equally many of each."""

import random
from collections import Counter

import pytest

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import PROBE, part_names
from raydistill.data.passages import read_passages
from raydistill.evaluation.probes.book_kind import KINDS
from raydistill.evaluation.probing.labelled_items import choose_items, num_labels

SHIPPED = ("acceptability", "book-kind", "paraphrase", "verse-order")


@pytest.fixture(scope="module")
def sides(folder):
    """Training documents and held-out ones, in passages."""
    return read_passages(folder)


@pytest.fixture(scope="module")
def verses(sides):
    """The place of each beginning of a verse, by its first twenty words: unit, number."""
    return {
        (document.collection, " ".join(text.split()[:20])): (document.unit, number)
        for side in sides
        for document in side
        for number, text in enumerate(document.texts)
        if text
    }


def places(item, verses):
    return [{place for (_, text), place in verses.items() if text == shown} for shown in item.texts]


def test_the_package_ships_four():
    assert part_names(PROBE) == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_there_are_equally_many_items_of_each_label_and_the_same_every_time(sides, name):
    for side, most in zip(sides, (200, 100), strict=True):
        items = choose_items(name, side, most)
        counts = Counter(item.label for item in items)
        assert set(counts) == set(range(num_labels(name)))
        assert len(set(counts.values())) == 1
        assert most / 2 < len(items) <= most
        assert {item.unit for item in items} <= {document.unit for document in side}
        assert choose_items(name, side, most) == items


@pytest.mark.parametrize("name", SHIPPED)
def test_no_document_is_both_trained_and_tested_on(sides, name):
    train, test = ({item.unit for item in choose_items(name, side, 300)} for side in sides)
    assert len(test) > 1
    assert not train & test


def test_a_paraphrase_is_the_same_verse_of_another_translation_else_a_neighbour(sides, verses):
    items = choose_items("paraphrase", sides[1], 100)
    for item in items:
        first, second = places(item, verses)
        apart = {abs(a - b) for unit, a in first for other, b in second if unit == other}
        assert (0 in apart) == bool(item.label) or item.texts[0] == item.texts[1]
        assert item.label or 1 in apart


def test_verses_in_order_are_those_that_follow_each_other(sides, verses):
    for item in choose_items("verse-order", sides[1], 100):
        first, second = places(item, verses)
        steps = {b - a for unit, a in first for other, b in second if unit == other}
        assert (1 if item.label else -1) in steps


def test_of_a_passage_two_words_have_changed_places_or_none(sides, verses):
    written = {text: text.split() for _, text in verses}
    for item in choose_items("acceptability", sides[1], 100):
        words = item.texts[0].split()
        if item.label:
            assert item.texts[0] in written
            continue
        alike = [own for own in written.values() if sorted(own) == sorted(words)]
        moved = [sum(a != b for a, b in zip(own, words, strict=True)) for own in alike]
        assert 2 in moved


def test_the_kind_of_a_book_is_that_of_its_chapter(sides):
    for item in choose_items("book-kind", sides[1], 100):
        assert item.unit.split()[0] in KINDS[item.label].split()


def test_what_a_corpus_lacks_gives_no_items(sides):
    one = [document for document in sides[1] if document.collection == "bbe"]
    assert choose_items("paraphrase", one, 100) == []
    assert len(choose_items("verse-order", one, 100)) > 50


ODD = """
from raydistill.api import LabelledItem
LABELS = {labels}
def candidates(document, others, rng):
    {body}
"""
ITEM = "yield LabelledItem(unit=document.unit, texts={}, label={})"


@pytest.mark.parametrize(
    ("labels", "body", "message"),
    [
        (2, "return None", "candidates gave NoneType, it must yield items"),
        (2, "yield 'a', 'b'", "candidates yielded tuple, it must be a LabelledItem"),
        (2, ITEM.format("()", 0), "an item has 0 texts and the label 0, it must be one text"),
        (2, ITEM.format("('a',)", 2), "the label 2, it must be one text or two, and a label below"),
        ("'2'", "yield", "LABELS is '2', it must be 2 or more"),
    ],
)
def test_a_probe_that_gives_no_items_is_named(sides, own_parts, labels, body, message):
    own_parts({"probes/odd.py": ODD.format(labels=labels, body=body)})
    with pytest.raises(OwnCodeError, match=message):
        choose_items("odd", sides[1], 10)


def test_a_label_alone_is_no_probe(sides, own_parts):
    body = ITEM.format("('a',)", 1)
    own_parts({"probes/constant.py": ODD.format(labels=2, body=body)})
    assert choose_items("constant", sides[1], 10) == []


def test_chance_alone_is_right_as_often_as_it_should_be(sides):
    items = choose_items("book-kind", sides[1], 100)
    guess = random.Random(0)
    right = sum(guess.randrange(num_labels("book-kind")) == item.label for item in items * 100)
    assert right / (100 * len(items)) == pytest.approx(1 / num_labels("book-kind"), abs=0.02)
