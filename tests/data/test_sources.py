"""JSON lines, Parquet, folders of all, texts with shares, tokens made elsewhere, the hub."""

import hashlib
import json
import random
import shutil

import numpy as np
import pyarrow
import pytest
from tokenizers import Tokenizer, models

from raydistill.core.errors import DataError, UsageError
from raydistill.data.corpus import draft as drafts
from raydistill.data.corpus.heldout_split import MAX_HELDOUT
from raydistill.data.corpus.preparation import (
    build_corpus,
    check_corpus,
    find_corpus,
    prepare_corpus,
)
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import END_OF_TEXT, shipped_tokenizer
from raydistill.storage.store import Store
from support.texts import (
    NOUNS,
    essay,
    essays,
    heldout_texts,
    info_of,
    tokens,
    write_jsonl,
    write_parquet,
    write_txt,
)

WRITERS = {".txt": write_txt, ".jsonl": write_jsonl, ".parquet": write_parquet}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def made(text, store, **options):
    return build_corpus(
        CorpusRequest(text=str(text), tokenizer=shipped_tokenizer(), **options), store
    )


def refused(text, store, **options):
    with pytest.raises(DataError) as caught:
        made(text, store, **options)
    assert "\n" not in str(caught.value)
    assert not list(store.root.rglob("*.bin"))
    return str(caught.value)


def test_the_same_documents_give_the_same_tokens_in_every_kind(tmp_path, store):
    folders = {
        made(write(tmp_path / f"a{kind}", essays()), store) for kind, write in WRITERS.items()
    }
    assert len(folders) == 1
    assert info_of(folders.pop())["train_documents"] == 38


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_the_text_stands_where_text_field_says(tmp_path, store, kind):
    path = WRITERS[kind](tmp_path / f"a{kind}", essays(), field="body")
    said = refused(path, store)
    assert "'text'. There are: body, id" in said.replace("no key ", "").replace("no column ", "")
    assert "--text-field" in said
    assert info_of(made(path, store, text_field="body"))["heldout_documents"] == 2


@pytest.mark.parametrize(
    "kind", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())]
)
def test_every_parquet_type_of_text_is_read(tmp_path, store, kind):
    path = write_parquet(tmp_path / "a.parquet", essays(), kind=kind)
    assert made(path, store) == made(write_txt(tmp_path / "a.txt", essays()), store)


def test_a_folder_may_hold_all_kinds(tmp_path, store):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    texts = essays(48)
    write_txt(folder / "a.txt", texts[:16])
    write_jsonl(folder / "deep" / "b.jsonl", texts[16:32])
    write_parquet(folder / "deep" / "c.parquet", texts[32:])
    (folder / "README").write_text("not text to train on")
    corpus = made(folder, store)
    assert corpus == made(write_jsonl(tmp_path / "all.jsonl", texts), store)


def test_a_long_line_is_one_document_that_is_held_out_whole(tmp_path, store):
    long = " ".join(essay(20_000, seed=7).split())
    corpus = made(write_jsonl(tmp_path / "a.jsonl", [*essays(), long]), store)
    assert info_of(corpus)["train_documents"] + info_of(corpus)["heldout_documents"] == 41


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
    assert "has no document in it" in refused(path, store, heldout=str(tmp_path / "h.txt"))


def test_shares_are_of_training_tokens_and_the_scarcest_text_decides(tmp_path, store):
    one = write_jsonl(tmp_path / "a.jsonl", essays(60))
    two = write_txt(tmp_path / "b.txt", [essay(5, seed) for seed in range(1000, 1400)])
    corpus = made(f"{one}=0.75,{two}=0.25", store)
    info = info_of(corpus)
    alone = info_of(made(one, store))
    assert info["name"] == "a.jsonl=0.75,b.txt=0.25"
    assert alone["train_tokens"] / info["train_tokens"] == pytest.approx(0.75, abs=0.01)
    assert info["notes"][0].startswith("mix: a.jsonl 7")
    assert "nothing repeats, so the scarcest text decides" in info["notes"][0]
    held = json.loads((corpus / "heldout.json").read_text())["documents"]
    assert {document["collection"] for document in held} == {"a.jsonl", "b.txt"}
    units = [document["unit"] for document in held]
    assert len(set(units)) == len(units)


def test_shares_are_relative_and_a_mix_with_the_embedded_text_works(tmp_path, store):
    path = write_jsonl(tmp_path / "a.jsonl", essays(60))
    first = made(f"smoke=1,{path}=1", store)
    assert made(f"smoke=0.5,{path}=0.5", store) == first
    assert (
        find_corpus(CorpusRequest(text=f"smoke=2,{path}=1", tokenizer=shipped_tokenizer()), store)
        is None
    )


@pytest.mark.parametrize("text", ["a.txt=0.5,b.txt", "a.txt=0,b.txt=1", "a.txt=x", "a=1,a=2", "=1"])
def test_shares_that_are_none_are_refused(store, text):
    with pytest.raises(UsageError, match="share"):
        made(text, store)


def test_what_is_wrong_with_a_line_is_said_with_file_and_line(tmp_path, store):
    good = json.dumps({"text": essay()})
    cases = {
        '{"text": "a"': "a.jsonl:3 is not JSON",
        "[1]": "a.jsonl:3 is no object with a key 'text'",
        '{"txt": "a"}': "a.jsonl:3: no key 'text'. Did you mean 'txt'? There are: txt",
        '{"text": null}': "a.jsonl:3: 'text' is null, it must be a string",
        '{"text": ["a"]}': "a.jsonl:3: 'text' is [\"a\"], it must be a string",
        "[" * 100_000: "a.jsonl:3 is not JSON",
    }
    for line, said in cases.items():
        (tmp_path / "a.jsonl").write_text(f"{good}\n\n{line}\n{good}\n")
        assert said in refused(tmp_path / "a.jsonl", store)


def test_what_is_wrong_with_a_parquet_file_is_said(tmp_path, store):
    path = tmp_path / "a.parquet"
    path.write_text("no such thing")
    assert f"{path} is not Parquet that can be read" in refused(path, store)
    write_parquet(path, [essay(), None])
    assert f"{path}, row 2: 'text' is null, it must be a string" in refused(path, store)
    write_parquet(path, [1, 2])
    assert "column 'text' holds int64, it must be strings" in refused(path, store)


def test_what_had_to_be_mended_is_counted_and_kept(tmp_path, store):
    lines = [json.dumps({"text": text}) for text in essays()]
    lines += ['{"text": "a lone \\ud800 and a pair \\ud83d\\ude00"}']
    lines += ['{"text": "nul \\u0000 here"}', '{"text": " "}']
    raw = "\r\n".join(lines).encode() + b'\n{"text": "not \xff UTF-8"}\r\n'
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + raw)
    corpus = made(tmp_path / "a.jsonl", store)
    assert info_of(corpus)["notes"][0].endswith(
        "a.jsonl: 1 bytes not UTF-8 replaced, 1 NUL dropped, 1 lone surrogates replaced, "
        "1 empty documents left out"
    )


def test_parquet_that_is_not_utf_8_is_mended(tmp_path, store):
    bad = pyarrow.array([b"not \xff UTF-8", *(text.encode() for text in essays())])
    column = pyarrow.StringArray.from_buffers(len(bad), *bad.buffers()[1:])
    corpus = made(write_parquet(tmp_path / "a.parquet", column), store)
    assert "1 bytes not UTF-8 replaced" in info_of(corpus)["notes"][0]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_little_text_is_counted_in_every_kind(tmp_path, store, kind):
    path = WRITERS[kind](tmp_path / f"a{kind}", ["Seventeen tokens or so."])
    assert "needs at least 129 training tokens, has " in refused(path, store)


def test_a_folder_of_tokens_is_checked_and_copied(tmp_path, store):
    first = made(write_jsonl(tmp_path / "a.jsonl", essays()), store)
    elsewhere = shutil.copytree(first, tmp_path / "elsewhere")
    (elsewhere / "manifest.json").unlink()
    other = Store(tmp_path / "other")
    copy = made(elsewhere, other)
    assert copy.name == first.name
    assert find_corpus(CorpusRequest(text=str(elsewhere), tokenizer=shipped_tokenizer()), other)
    for name in ("train.bin", "heldout.bin", "heldout.json", "tokenizer.json", "corpus.json"):
        assert (copy / name).read_bytes() == (first / name).read_bytes()


def test_a_folder_of_tokens_that_does_not_fit_is_refused(tmp_path, store):
    first = made(write_jsonl(tmp_path / "a.jsonl", essays()), Store(tmp_path / "other"))
    tokenizer = json.loads((first / "tokenizer.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match="were made with another tokenizer"):
        build_corpus(CorpusRequest(text=str(first), tokenizer=tmp_path / "t.json"), store)
    assert "have 2048 ids, up to 2047; the model knows those below 2000" in refused(
        first, store, vocab_size=2000
    )
    with pytest.raises(UsageError, match="stands alone"):
        made(first, store, heldout=str(first))
    content = bytearray((first / "train.bin").read_bytes())
    content[-2:] = (60_000).to_bytes(2, "little")
    (first / "train.bin").write_bytes(content)
    assert "they were changed" in refused(first, store)
    about = json.loads((first / "corpus.json").read_text())
    about["corpus_sha256"] = hashlib.sha256(
        content + (first / "heldout.bin").read_bytes()
    ).hexdigest()
    (first / "corpus.json").write_text(json.dumps(about))
    said = "train.bin holds the token id 60000, beyond its vocabulary of 2048"
    assert said in refused(first, store)


def test_a_data_set_of_the_hub_without_network_says_what_was_looked_for(monkeypatch, store):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for attempt in (
        lambda: check_corpus(CorpusRequest(text="owner/name")),
        lambda: made("a/b", store),
    ):
        with pytest.raises(DataError) as caught:
            attempt()
        said = str(caught.value)
        assert said.startswith("no data set ")
        assert "looked for a file or folder /" in said
        assert "at the Hugging Face hub" in said
        assert "\n" not in said


def test_shards_of_any_size_give_the_same_bytes(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    whole = made(path, Store(tmp_path / "whole"))
    monkeypatch.setattr(drafts, "SHARD_CHARACTERS", 5_000)
    store = Store(tmp_path / "shards")
    assert made(path, store).name == whole.name
    assert not list(store.path("corpora", "drafts").glob("*"))


def test_what_was_killed_half_way_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    whole = made(path, Store(tmp_path / "whole"))
    monkeypatch.setattr(drafts, "SHARD_CHARACTERS", 5_000)
    store, makes = Store(tmp_path / "killed"), []

    from raydistill.data.corpus import assembly as assemble
    from raydistill.data.corpus import shards

    def killed(folder, shard):
        makes.append(shard.place)
        if len(makes) == 4:
            raise KeyboardInterrupt
        shards.make_shard(folder, shard)

    monkeypatch.setattr(assemble, "make_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        made(path, store)
    assert made(path, store).name == whole.name
    assert makes[:3] == [f"0-0-{i}" for i in range(3)]
    assert makes.count("0-0-3") == 2
    assert len(makes) == len(set(makes)) + 1, "what was made is not made again"
    assert prepare_corpus(path, store=store, tokenizer=shipped_tokenizer()).name == whole.name
    assert np.array_equal(tokens(made(path, store)), tokens(whole))
