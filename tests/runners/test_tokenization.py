"""A large corpus by Ray Data, and how much memory a large one takes."""

import json
import random
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from raydistill.core import fault_injection as faults
from raydistill.core.errors import SetupError
from raydistill.core.progress import listening
from raydistill.data.corpus import draft as drafts
from raydistill.data.corpus.preparation import begin_corpus, build_corpus
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import files_of_draft, is_finished, make_shard, read_shards
from raydistill.data.tokenizer import END_OF_TEXT, shipped_tokenizer
from raydistill.storage.store import Store
from support.texts import essays, write_jsonl, write_txt

MB = 1_000_000
MOST_MB = 120


@pytest.fixture
def folder(tmp_path):
    """Three files of unequal length."""
    (tmp_path / "texts").mkdir()
    texts = essays(60)
    write_jsonl(tmp_path / "texts" / "a.jsonl", texts[:30])
    write_txt(tmp_path / "texts" / "b.txt", texts[30:40])
    write_jsonl(tmp_path / "texts" / "c.jsonl", texts[40:])
    return tmp_path / "texts"


@pytest.fixture
def ray_here(ray_address):
    import ray

    ray.init(address=ray_address, log_to_driver=False)
    yield
    ray.shutdown()


def test_shards_by_ray_data_are_those_of_one_process(folder, tmp_path, ray_here, monkeypatch):
    from raydistill.runners.tokenization import tokenise_shards

    request = CorpusRequest(text=str(folder), tokenizer=shipped_tokenizer())
    alone = build_corpus(request, Store(tmp_path / "alone"))
    monkeypatch.setattr(drafts, "SHARD_CHARACTERS", 4_000)
    store, reports = Store(tmp_path / "store"), []
    draft = begin_corpus(request, store)
    files = files_of_draft(request, draft, store)
    shards = [shard for file in files for shard in read_shards(file)]
    for shard in shards[::3]:  # a run that was killed made these
        make_shard(draft, shard)
    missing = [shard for shard in shards if not is_finished(draft, shard.place)]
    with listening(reports.append):
        assert tokenise_shards(request, draft, store) == len(missing) > 5
    assert all(is_finished(draft, shard.place) for shard in shards)
    assert reports[-1].is_done
    assert (reports[-1].stage, reports[-1].unit) == ("tokenising", "bytes")
    assert any(0.2 < progress.done / progress.total < 0.8 for progress in reports)
    monkeypatch.setattr("raydistill.data.corpus.assembly.make_shard", None)  # none is missing
    together = build_corpus(request, store)
    assert together.name == alone.name
    assert (together / "train.bin").read_bytes() == (alone / "train.bin").read_bytes()


def test_a_worker_that_is_killed_has_three_tries_and_loses_nothing(
    tmp_path, ray_address, monkeypatch, capfd
):
    """Four kills of one shard: the first run gives up at the third, the next one gets through."""
    from raydistill.runners.cluster.connection import connected
    from raydistill.runners.tokenization import tokenise_shards

    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    monkeypatch.setenv(faults.PLAN_VARIABLE, "kill@shard,times=4")
    monkeypatch.setenv(faults.LOG_VARIABLE, str(tmp_path / "faults"))
    text, store = write_jsonl(tmp_path / "a.jsonl", essays(20)), Store(tmp_path / "store")
    request = CorpusRequest(text=str(text), tokenizer=shipped_tokenizer())
    draft = begin_corpus(request, store)
    with connected(tmp_path / "ray.log"):
        with pytest.raises(SetupError) as refusal:
            tokenise_shards(request, draft, store)
        assert len(list((tmp_path / "faults").iterdir())) == 3
        assert tokenise_shards(request, draft, store) == 1
    assert len(list((tmp_path / "faults").iterdir())) == 4
    assert refusal.value.exit_code == 4
    assert str(refusal.value) == (
        "tokenising failed, its process died: it was killed, had no memory left, or crashed; "
        "what is done is kept, the same command goes on"
    )
    assert capfd.readouterr() == ("", "")
    alone = build_corpus(request, Store(tmp_path / "alone"))
    with monkeypatch.context() as patch:
        patch.setattr("raydistill.data.corpus.assembly.make_shard", None)  # none is missing
        together = build_corpus(request, store)
    assert together.name == alone.name
    assert (together / "train.bin").read_bytes() == (alone / "train.bin").read_bytes()


MEASURE = """
import re, sys
from pathlib import Path
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.preparation import build_corpus
from raydistill.storage.store import Store

folder = Path(sys.argv[1])
request = CorpusRequest(text=str(folder / "texts"), tokenizer=folder)
build_corpus(request, Store(folder / "store"))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_the_text(tmp_path):
    """30 MB in two files; the process alone takes 50 MB."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefgh", k=7)) for _ in range(1_000)]
    (tmp_path / "texts").mkdir()
    for name in ("a.jsonl", "b.txt"):
        with (tmp_path / "texts" / name).open("w") as file:
            for _ in range(950):
                text = " ".join(rng.choices(words, k=2_000))
                file.write(json.dumps({"text": text}) + "\n" if name == "a.jsonl" else text)
    tokenizer = Tokenizer(models.WordLevel({END_OF_TEXT: 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert sum(file.stat().st_size for file in (tmp_path / "texts").iterdir()) > 30 * MB
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < MOST_MB * MB
