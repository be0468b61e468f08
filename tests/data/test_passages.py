"""Documents of a corpus in passages: verses where it has them whole, else sentences."""

import re

from raydistill.data.corpus.heldout_documents import read_documents
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.passages import _in_verses, read_passages
from raydistill.data.sources import embedded
from raydistill.data.words import words_of


def test_the_embedded_text_is_in_verses_numbered_alike_and_no_chapter_is_in_both(store):
    train, heldout = read_passages(prepare_corpus("smoke", store=store))
    assert not {d.unit for d in train} & {d.unit for d in heldout}
    assert {d.unit for d in heldout} == set(embedded.heldout_units_of("smoke"))
    texts = {(d.collection, d.unit): d.text for d in embedded.documents_of("smoke").heldout}
    for document in heldout:
        assert document.are_verses
        assert " ".join(document.texts) == texts[document.collection, document.unit]
    sizes = {d.unit: {len(o.texts) for o in heldout if o.unit == d.unit} for d in heldout}
    assert all(len(of_unit) == 1 for of_unit in sizes.values())


def test_verses_that_a_text_lacks_are_empty_and_the_others_keep_their_numbers():
    left = {d.unit: d.text for d in embedded.documents_of("bbe-2000").heldout}
    heldout = _in_verses(embedded.documents_of("bbe-2000").heldout)
    whole = embedded.verses("bbe", left)
    for document in heldout:
        pairs = list(zip(document.texts, whole[document.unit], strict=True))
        assert all(here in ("", verse) for here, verse in pairs)
        assert " ".join(here for here, _ in pairs if here) == left[document.unit]
    assert any("" in document.texts for document in heldout)


def test_what_words_leave_is_in_sentences_of_these_words(store, tmp_path):
    text = " ".join(d.text for d in embedded.documents_of("smoke").train)
    words = set(words_of(text)[:8_000])
    (tmp_path / "words.txt").write_text("\n".join(sorted(words)))
    folder = prepare_corpus("smoke", store=store, words=str(tmp_path / "words.txt"))
    for side in read_passages(folder):
        assert side
        assert not any(document.are_verses for document in side)
        assert {word for d in side for text in d.texts for word in words_of(text)} <= words


def test_other_text_is_in_sentences_and_its_training_documents_are_those_of_its_beginning(
    store, tmp_path
):
    pages = [f"He counted {n} ships. Then a boy went down to the sea! And so on" for n in range(48)]
    (tmp_path / "a.txt").write_text("\f".join(10 * f"{page} and on. " for page in pages))
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)
    train, heldout = read_passages(folder)
    assert [d.unit for d in heldout] == [d.unit for d in read_documents(folder)]
    for document in (*train[:5], *heldout):
        (number,) = {*re.findall(r"\d+", " ".join(document.texts))}
        assert document.texts[:2] == (
            f"He counted {number} ships.",
            "Then a boy went down to the sea!",
        )
    numbers = [re.findall(r"\d+", " ".join(d.texts))[:1] for side in (train, heldout) for d in side]
    seen = [number for of in numbers for number in of]
    assert len(seen) == len(set(seen)) == 48
