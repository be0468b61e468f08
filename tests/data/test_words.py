"""Text of which only some words are allowed: what is kept, and that it is said."""

from collections import Counter

import pytest

from raydistill.core.errors import UsageError
from raydistill.data.corpus.heldout_documents import read_documents
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.corpus.request import CorpusRequest, source_key
from raydistill.data.words import Kept, filtered_text, most_frequent, read_words, words_of
from support.corpora import WRITERS, made, refusal
from support.texts import NOUNS, essays, heldout_texts, info_of, write_jsonl, write_txt


def written(path, words):
    path.write_text("\n".join(words), encoding="utf-8")
    return str(path)


def test_a_word_is_letters_and_digits_with_apostrophes_inside():
    text = "'Twas God’s 2nd e-mail; the dogs' STRASSE, Straße — naïve_x."
    assert words_of(text) == [
        *("twas", "god's", "2nd", "e", "mail", "the", "dogs", "strasse", "strasse"),
        *("naïve", "x"),
    ]


def test_of_words_as_frequent_the_first_by_alphabet_counts():
    counts = Counter({"c": 2, "b": 1, "d": 1, "a": 1})
    assert most_frequent(counts, 3) == {"c", "a", "b"}


def test_a_sentence_is_kept_if_it_has_words_and_all_of_them_are_allowed():
    text = "A cat sat. A dog sat! “A cat?” No cat…\n* * *\n\nA cat sat 3.5 times.\nSat a Cat"
    kept = Kept()
    left = filtered_text(text, frozenset({"a", "cat", "sat", "no"}), kept)
    assert left == "A cat sat. “A cat?” No cat…\nSat a Cat"
    assert (kept.pieces, kept.pieces_kept) == (7, 4)
    assert (kept.words, kept.words_kept) == (19, 10)
    assert kept.note("pets") == (
        "pets: 4 of 7 sentences (57.1 %, with 52.6 % of the words) have only some of 4 allowed "
        "words; the others are left out"
    )
    assert Kept().note("pets") == ""


def test_a_file_of_words_may_have_any_case_and_a_byte_order_mark(tmp_path):
    (tmp_path / "w.txt").write_bytes("\ufeffThe\r\nGod’s\n\nthe\n".encode())
    assert read_words(str(tmp_path / "w.txt")) == {"the", "god's"}


@pytest.mark.parametrize("kind", WRITERS)
def test_of_every_kind_of_text_the_sentences_of_allowed_words_are_left(tmp_path, store, kind):
    allowed = written(tmp_path / "w.txt", {w for t in essays() for w in words_of(t)} - {NOUNS[0]})
    corpus = made(WRITERS[kind](tmp_path / f"a{kind}", essays()), store, words=allowed)
    cut = [line for text in essays() for line in text.split("\n") if NOUNS[0] in words_of(line)]
    left = " ".join(heldout_texts(corpus))
    assert cut
    assert NOUNS[0] not in words_of(left)
    note = next(note for note in info_of(corpus)["notes"] if "allowed words" in note)
    total = sum(bool(words_of(line)) for text in essays() for line in text.split("\n"))
    assert f"a{kind}: {total - len(cut)} of {total} sentences" in note


def test_held_out_text_of_a_name_of_its_own_is_filtered_too(tmp_path, store):
    allowed = written(tmp_path / "w.txt", {w for t in essays() for w in words_of(t)})
    heldout = write_txt(tmp_path / "h.txt", ["Unheard of words.\n" + essays(1)[0]])
    text = write_jsonl(tmp_path / "a.jsonl", essays())
    corpus = made(text, store, words=allowed, heldout=heldout)
    (document,) = read_documents(corpus)
    assert "Unheard" not in document.text
    assert any(note.startswith("h.txt: ") for note in info_of(corpus)["notes"])


def test_verses_of_an_embedded_text_are_whole(tmp_path, store):
    whole = read_documents(prepare_corpus("smoke", store=store))
    words = most_frequent(Counter(w for d in whole for w in words_of(d.text)), 300)
    corpus = prepare_corpus("smoke", store=store, words=written(tmp_path / "w.txt", words))
    documents = read_documents(corpus)
    assert 0 < len(documents) <= len(whole)
    assert {w for d in documents for w in words_of(d.text)} <= words
    by_name = {(d.collection, d.unit): d.text for d in whole}
    assert all(d.text[:40] in by_name[d.collection, d.unit] for d in documents)
    assert " verses " in info_of(corpus)["notes"][0]
    assert info_of(corpus)["tokenizer_sha256"] == info_of(store_folder(store))["tokenizer_sha256"]


def store_folder(store):
    """The folder of the corpus of all words."""
    return prepare_corpus("smoke", store=store)


def test_words_are_part_of_a_corpus_by_what_they_are(tmp_path):
    text = str(write_jsonl(tmp_path / "a.jsonl", essays()))
    first = written(tmp_path / "a.txt", ["The", "end", "the"])
    same = written(tmp_path / "b.txt", ["end", "the"])
    other = written(tmp_path / "c.txt", ["end", "thee"])
    keys = [source_key(CorpusRequest(text=text, words=words)) for words in (first, same, other, "")]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_words_of_which_no_sentence_is_left_are_refused(tmp_path, store):
    text = write_jsonl(tmp_path / "a.jsonl", essays())
    line = refusal(text, store, words=written(tmp_path / "w.txt", ["xyzzy"]))
    assert "w.txt: none of the " in line
    assert "sentences of a.jsonl has words of this file alone" in line


def test_text_that_is_tokenised_has_no_words_to_choose(tmp_path, store):
    tokens = made(write_jsonl(tmp_path / "a.jsonl", essays()), store)
    words = written(tmp_path / "w.txt", ["the"])
    with pytest.raises(UsageError, match="is tokenised, name the text itself"):
        source_key(CorpusRequest(text=str(tokens), words=words))
