"""The facts of a corpus: its words and bytes, and the loss of a model of word frequencies."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from raydistill.core.serialization import from_json, to_json
from raydistill.data import text_facts
from raydistill.data.corpus.heldout_documents import read_documents, read_info, read_spans
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.text_facts import make_facts, make_masked_line
from raydistill.data.words import words_of
from raydistill.specs.corpus import (
    MaskedLine,
    TextFacts,
    bits_per_byte,
    facts_path,
    masked_line_path,
)
from raydistill.storage.store import Store
from support.unigram import heldout_targets, unigram_nats


def facts_of(folder, store):
    make_facts(folder, store)
    return store.load(TextFacts, *facts_path(folder.name))


@pytest.fixture
def smoke(prepared, tmp_path):
    store = Store(prepared(tmp_path / "storage"))
    (folder,) = (path.parent for path in store.path("corpora").glob("*/corpus.json"))
    return store, folder


def test_the_unigram_line_of_the_embedded_text(with_embedded_text, tmp_path):
    """Golden: the entropy of its training tokens is 6.022 nats, which held-out text is above."""
    store = Store(with_embedded_text(tmp_path / "storage"))
    (folder,) = (path.parent for path in store.path("corpora").glob("*/corpus.json"))
    facts = facts_of(folder, store)
    shares = np.bincount(np.fromfile(folder / "train.bin", "<u2")) / facts.train_tokens
    entropy = -sum(p * math.log(p) for p in shares if p)
    assert entropy == pytest.approx(6.022, abs=1e-3)
    assert facts.unigram_nats == pytest.approx(6.0637, abs=1e-3)
    assert (facts.words, facts.unigram_tokens) == (16_937, 4_268_221)


def test_the_facts_are_those_of_its_documents(smoke):
    store, folder = smoke
    facts, documents = facts_of(folder, store), read_documents(folder)
    assert facts.heldout_bytes == sum(len(d.text.encode()) for d in documents)
    assert facts.heldout_words == sum(len(words_of(d.text)) for d in documents)
    spans = read_spans(folder)
    assert facts.heldout_tokens == sum(span.end - span.start for span in spans)
    assert (facts.name, facts.words, facts.train_words) == ("smoke", 4_826, 93_325)
    tokens = np.fromfile(folder / "heldout.bin", "<u2")
    counts = np.bincount(np.fromfile(folder / "train.bin", "<u2"), minlength=2_048)
    nats = [
        -math.log((counts[token] + 1) / (counts.sum() + 2_048))
        for span in spans
        for token in tokens[span.start + 1 : span.end]
    ]
    assert facts.unigram_nats == pytest.approx(sum(nats) / len(nats), rel=1e-9)


def test_they_come_with_the_corpus_of_a_sweep_and_are_made_once(smoke, monkeypatch):
    store, folder = smoke
    assert store.load(TextFacts, *facts_path(folder.name)).name == "smoke"
    monkeypatch.setattr(text_facts, "_facts", lambda *_: pytest.fail("made twice"))
    make_facts(folder, store)


def test_of_a_long_text_blocks_all_over_it_are_counted_and_no_words(smoke, monkeypatch):
    store, folder = smoke
    whole = facts_of(folder, store)
    store.path(*facts_path(folder.name)).unlink()
    monkeypatch.setattr(text_facts, "_BLOCK", 1_000)
    monkeypatch.setattr(text_facts, "MOST_COUNTED", 64_000)
    monkeypatch.setattr(text_facts, "MOST_DECODED", 64_000)
    part = facts_of(folder, store)
    assert part.unigram_tokens == 64_000
    assert (part.words, part.train_words) == (0, 0)
    assert part.unigram_nats == pytest.approx(whole.unigram_nats, abs=0.05)
    same = {"unigram_nats", "unigram_tokens", "words", "train_words"}
    assert replace(part, **{name: getattr(whole, name) for name in same}) == whole


@pytest.mark.parametrize(("share", "windows"), [(0.15, 16), (0.4, 1_000)])
def test_the_line_of_a_masked_loss_is_of_the_tokens_that_it_hides(smoke, share, windows):
    """Beside a count of its own, by the ids that `masked_nll` asks for."""
    store, folder = smoke
    make_masked_line(folder, store, share=share, windows=windows, context=64)
    path = masked_line_path(folder.name, share, windows, 64)
    line = store.load(MaskedLine, *path)
    nats = unigram_nats(folder, windows=windows, context=64, share=share)
    assert line.unigram_nats == pytest.approx(nats, rel=1e-9)
    assert line.targets == len(heldout_targets(folder, windows, 64, share))
    assert line.unigram_nats != facts_of(folder, store).unigram_nats
    assert from_json(MaskedLine, to_json(line)) == line


def test_a_masked_loss_of_no_token_has_no_line(smoke):
    store, folder = smoke
    make_masked_line(folder, store, share=0.01, windows=16, context=32)
    assert not store.path(*masked_line_path(folder.name, 0.01, 16, 32)).exists()


def test_without_a_target_there_are_none(smoke):
    store, folder = smoke
    store.path(*facts_path(folder.name)).unlink()
    (folder / "heldout.json").write_text(json.dumps({"documents": []}))
    assert facts_of(folder, store) is None


def test_a_beginning_is_no_text_and_first_tokens_behind_it_are_targets(smoke, monkeypatch):
    """As perplexity's windows have them: without one, a document's first token is no target."""
    store, folder = smoke
    own = facts_of(folder, store)
    store.path(*facts_path(folder.name)).unlink()
    info = read_info(folder)
    monkeypatch.setattr(text_facts, "read_info", lambda _: replace(info, begin_ids=(0,)))
    begun = facts_of(folder, store)
    assert begun.heldout_tokens == own.heldout_tokens
    assert begun.unigram_nats != own.unigram_nats


def test_bits_per_byte_of_a_loss():
    """Golden, by hand: 3 nats a token are 4.328 bits; 250 tokens in 1,000 bytes are a quarter."""
    facts = TextFacts(
        corpus_sha256="c0", name="some", words=9, train_words=9, heldout_words=9, train_tokens=99,
        heldout_tokens=250, heldout_bytes=1_000, unigram_nats=6.0, unigram_tokens=1_000,
    )  # fmt: skip
    assert bits_per_byte(3.0, facts) == pytest.approx(1.0820, abs=1e-4)
    assert from_json(TextFacts, to_json(facts)) == facts


def test_tokens_of_another_tokenizer_tell_the_same_bytes(tmp_path):
    store = Store(tmp_path / "storage")
    few = facts_of(prepare_corpus("bbe-1000", store=store, vocab_size=512), store)
    many = facts_of(prepare_corpus("bbe-1000", store=store), store)
    assert few.heldout_bytes == many.heldout_bytes
    assert few.heldout_tokens > many.heldout_tokens
    assert (few.words, few.heldout_words) == (many.words, many.heldout_words)
