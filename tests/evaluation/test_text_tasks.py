"""Tasks made from held-out text: right answers, and wrong ones that are hard to tell."""

from itertools import pairwise

import pytest

from raydistill.core.parts import TASK, part_names
from raydistill.evaluation.text_tasks import chance, choose_items


@pytest.mark.parametrize("name", part_names(TASK))
def test_the_embedded_corpus_has_enough_items(heldout, name):
    items = choose_items(name, heldout)
    assert len(items) >= 400
    assert len({item.unit for item in items}) == 70
    assert all(len(set(item.choices)) == 1 / chance(name) for item in items)
    answers = [item.answer for item in items]
    assert all(answers.count(place) > 0.15 * len(items) for place in range(4))
    assert items == choose_items(name, heldout)


@pytest.mark.parametrize("name", part_names(TASK))
def test_the_right_answer_is_what_stands_in_the_text(heldout, name):
    texts = {}
    for document in heldout:
        texts[document.unit] = texts.get(document.unit, "") + " " + document.text
    for item in choose_items(name, heldout):
        original = f"{item.context} {item.choices[item.answer]}"
        assert original in " ".join(texts[item.unit].split())


def test_wrong_last_words_fit_the_word_before(heldout):
    words = {}
    for document in heldout:
        text = document.text.split()
        for before, word in pairwise(text):
            words.setdefault(before.lower(), set()).add(word.strip(".,;:?!\"'()"))
    for item in choose_items("last-word", heldout):
        assert set(item.choices) <= words[item.context.split()[-1].lower()]


def test_wrong_word_orders_are_made_of_the_same_words(heldout):
    for item in choose_items("word-order", heldout):
        assert len({tuple(sorted(choice.split())) for choice in item.choices}) == 1
