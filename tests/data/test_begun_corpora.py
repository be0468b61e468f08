"""Corpora of tokenizers that begin texts with a token: every document has it, no target is it."""

import json
import shutil

import numpy as np
import pytest
import torch

from raydistill.data.batches import TokenFile
from raydistill.data.corpus.general_heldout import general_text, make_general
from raydistill.data.corpus.heldout_documents import read_documents, read_info, read_spans
from raydistill.data.corpus.preparation import find_corpus, prepare_corpus
from raydistill.data.corpus.request import CorpusRequest, expected_notes, source_key
from raydistill.pruning.calibration import calibration_samples
from raydistill.storage.store import Store
from support.texts import essays, write_jsonl
from support.tokenizer_kinds import BEGUN, KINDS, OF_PIECES, begins, byte_level, save_kind

BOS, EOS = 1, 2
NOTE = "every document begins with <s>, as its tokenizer's texts do"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("text") / "a.jsonl", essays())


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, texts):
    """A corpus of each kind of tokenizer, and where it came from."""
    made = {}
    for kind in KINDS:
        folder = save_kind(tmp_path_factory.mktemp("kind"), kind)
        store = Store(tmp_path_factory.mktemp("store"))
        request = CorpusRequest(text=str(texts), tokenizer=folder)
        made[kind] = (prepare_corpus(str(texts), store=store, tokenizer=folder), request, store)
    return made


def ids_of(folder, name):
    return np.fromfile(folder / name, dtype="<u2").tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_begins_as_its_tokenizer_begins_texts(corpora, texts, kind):
    folder, request, store = corpora[kind]
    info = find_corpus(request, store)
    begun = kind in BEGUN
    assert info.begin_ids == ((BOS,) if begun else ())
    assert (NOTE in info.notes) == begun == (NOTE in expected_notes(request))
    assert ("begin_ids" in json.loads((folder / "corpus.json").read_text())) == begun
    for name, documents in (
        ("train.bin", info.train_documents),
        ("heldout.bin", info.heldout_documents),
    ):
        ids = ids_of(folder, name)
        assert ids.count(BOS) == documents * begun
        starts = [0, *(i + 1 for i, token in enumerate(ids) if token == EOS)][:-1]
        assert len(starts) == documents
        assert all((ids[start] == BOS) == begun for start in starts)
    spans = read_spans(folder)
    heldout = ids_of(folder, "heldout.bin")
    assert all(BOS not in heldout[span.start : span.end] for span in spans)
    assert all(heldout[span.end] == EOS for span in spans)
    if kind not in OF_PIECES:
        assert {document.text for document in read_documents(folder)} <= set(essays())


def test_what_begins_texts_is_in_a_corpus_s_key_and_only_where_something_does(tmp_path, texts):
    """The same file of tokens, but for the template that puts `<s>` before every text."""
    plain, begun = tmp_path / "plain", tmp_path / "begun"
    for folder, tokenizer in ((plain, byte_level()), (begun, begins(byte_level()))):
        folder.mkdir()
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    first, second = (
        prepare_corpus(str(texts), store=store, tokenizer=folder)
        for store, folder in zip(stores, (plain, begun), strict=True)
    )
    assert [i for i in ids_of(second, "train.bin") if i != BOS] == ids_of(first, "train.bin")
    assert read_info(first).corpus_sha256 != read_info(second).corpus_sha256
    # A bos_token that is put nowhere changes no corpus.
    key = source_key(CorpusRequest(text=str(texts), tokenizer=plain))
    named = {"eos_token": "</s>", "bos_token": "<s>"}
    (plain / "tokenizer_config.json").write_text(json.dumps(named))
    assert source_key(CorpusRequest(text=str(texts), tokenizer=plain)) == key


@pytest.mark.parametrize("kind", ["begins", "has none"])
def test_calibration_windows_begin_once_as_texts_do(corpora, kind):
    folder = corpora[kind][0]
    data = TokenFile(folder, 16)
    everything = list(range(data.num_windows))
    windows, plain = data.text_windows(everything), data.windows(everything)
    assert windows.shape == plain.shape
    if kind == "has none":
        assert torch.equal(windows, plain)
        return
    assert (windows[:, 0] == BOS).all()
    assert not (windows[:, 1:] == BOS).any()
    for window, ids in zip(windows.tolist(), plain.tolist(), strict=True):
        text = [i for i in ids if i != BOS]
        assert window[1 : 1 + len(text)] == text[: len(window) - 1]
    (batch, *_), *_ = calibration_samples(data, torch.device("cpu"))
    assert (batch[:, 0] == BOS).all()


def test_training_windows_are_the_tokens_as_they_stand(corpora):
    data = TokenFile(corpora["begins"][0], 16)
    ids = torch.tensor(ids_of(corpora["begins"][0], "train.bin"))
    assert torch.equal(data.windows([0, 3])[1], ids[48:65])
    assert data.windows([0])[0, 0] == BOS


def test_a_second_text_begins_as_the_corpus_does(corpora, texts):
    for kind in ("begins", "has none"):
        folder, _, store = corpora[kind]
        make_general(str(texts), "text", folder, store)
        general = store.general(general_text(str(texts), "text"), read_info(folder))
        assert ids_of(general, "heldout.bin")[0] == BOS or kind == "has none"
        assert read_info(general).begin_ids == read_info(folder).begin_ids
        assert general.name.endswith("-begun") == (kind == "begins")


def test_tokens_made_elsewhere_say_what_they_begin_with(corpora, tmp_path):
    made = corpora["begins"][0]
    copied = prepare_corpus(str(made), store=Store(tmp_path / "same"))
    assert expected_notes(CorpusRequest(text=str(made), tokenizer=made)) == []
    assert read_info(copied) == read_info(made)
    about = json.loads((made / "corpus.json").read_text())
    untold = shutil.copytree(made, tmp_path / "untold")
    (untold / "corpus.json").write_text(
        json.dumps({k: v for k, v in about.items() if k not in ("begin_ids", "notes")})
    )
    copied = prepare_corpus(str(untold), store=Store(tmp_path / "untold_store"))
    notes = ("documents begin with <s>; windows from the middle of one do not",)
    assert read_info(copied).notes == notes
    bare = shutil.copytree(corpora["has none"][0], tmp_path / "bare")
    shutil.copyfile(made / "tokenizer.json", bare / "tokenizer.json")
    about = json.loads((bare / "corpus.json").read_text())
    about["tokenizer_sha256"] = read_info(made).tokenizer_sha256
    (bare / "corpus.json").write_text(json.dumps(about))
    *_, note = read_info(prepare_corpus(str(bare), store=Store(tmp_path / "bare_store"))).notes
    assert note.startswith("texts begin without <s>, which the tokenizer puts before texts")
