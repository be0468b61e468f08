"""Shards of any size give the same corpus, also if they are made in two runs."""

import numpy as np
import pytest

from raydistill.data.corpus import assembly, draft, shards
from raydistill.data.corpus.preparation import (
    prepare_corpus,
)
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.storage.store import Store
from support.corpora import made
from support.texts import (
    essays,
    tokens,
    write_jsonl,
)


def test_shards_of_any_size_give_the_same_bytes(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    whole = made(path, Store(tmp_path / "whole"))
    monkeypatch.setattr(draft, "SHARD_CHARACTERS", 5_000)
    store = Store(tmp_path / "shards")
    assert made(path, store).name == whole.name
    assert not list(store.path("corpora", "drafts").glob("*"))


def test_what_was_killed_half_way_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", essays())
    whole = made(path, Store(tmp_path / "whole"))
    monkeypatch.setattr(draft, "SHARD_CHARACTERS", 5_000)
    store, makes = Store(tmp_path / "killed"), []

    def killed(folder, shard):
        makes.append(shard.place)
        if len(makes) == 4:
            raise KeyboardInterrupt
        shards.make_shard(folder, shard)

    monkeypatch.setattr(assembly, "make_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        made(path, store)
    assert made(path, store).name == whole.name
    assert makes[:3] == [f"0-0-{i}" for i in range(3)]
    assert makes.count("0-0-3") == 2
    assert len(makes) == len(set(makes)) + 1, "what was made is not made again"
    assert prepare_corpus(path, store=store, tokenizer=shipped_tokenizer()).name == whole.name
    assert np.array_equal(tokens(made(path, store)), tokens(whole))
