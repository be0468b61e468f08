"""Tasks of GLUE as probes, by files in the original's field names."""

import json

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.evaluation.lm_harness.task_data import keep_task_data, requested_evaluation
from raydistill.evaluation.probing.glue import GLUE
from raydistill.evaluation.probing.item_files import read_items
from raydistill.evaluation.probing.stored import probe_key
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.storage.store import Store

OWN = EvalSpec(tasks=(), heldout_windows=8, curve_windows=2)
FIELDS = {
    "cola": ("sentence",), "sst2": ("sentence",), "mrpc": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"), "qnli": ("question", "sentence"),
    "mnli": ("premise", "hypothesis"), "rte": ("sentence1", "sentence2"),
    "wnli": ("sentence1", "sentence2"),
}  # fmt: skip


def write(folder, task, split, labels, **changes):
    rows = (
        {**{f: f"{f} {n} of {split}" for f in FIELDS[task]}, "label": label, "idx": n, **changes}
        for n, label in enumerate(labels)
    )
    file = folder / f"glue-{task}.{split}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")


@pytest.fixture
def data(tmp_path):
    for task in FIELDS:
        labels = (0, 1, 2) if task == "mnli" else (0, 1)
        write(tmp_path, task, "train", labels * 4)
        for split in (
            ("validation_matched", "validation_mismatched") if task == "mnli" else ("validation",)
        ):
            write(tmp_path, task, split, (*labels, 1))
    return tmp_path


def kept(name, folder, store):
    spec = requested_evaluation(OWN, None, folder, None, store, name)
    keep_task_data(spec, folder, store)
    return spec


@pytest.mark.parametrize("name", GLUE)
def test_each_task_is_read_by_its_own_fields(data, tmp_path, name):
    store = Store(tmp_path / "store")
    spec = kept(name, data, store)
    items = read_items(name, "c" * 64, spec, store)
    labels = 3 if "mnli" in name else 2
    assert items.labels == labels
    assert [item.label for item in items.train] == [*range(labels)] * 4
    assert items.chance == 2 / (labels + 1)
    fields = FIELDS[name.split("-")[1]]
    assert items.train[1].texts == tuple(f"{field} 1 of train" for field in fields)
    split = {"glue-mnli": "validation_matched", "glue-mnli-mismatched": "validation_mismatched"}
    assert items.test[0].texts[0].endswith(f"of {split.get(name, 'validation')}")
    assert len({item.unit for item in items.test}) == len(items.test)


def test_other_data_is_another_score(data, tmp_path):
    store = Store(tmp_path / "store")
    corpus = CorpusInfo(
        name="x", corpus_sha256="c", tokenizer_sha256="t", vocab_size=9, token_bytes=2,
        train_tokens=9, heldout_tokens=9, train_documents=1, heldout_documents=1,
    )  # fmt: skip
    first = probe_key("glue-rte fresh 1", corpus, kept("glue-rte", data, store))
    write(data, "rte", "train", (1, 0))
    second = probe_key("glue-rte fresh 1", corpus, kept("glue-rte", data, store))
    assert first != second


def test_a_missing_split_and_a_broken_line_are_named(data, tmp_path):
    store = Store(tmp_path / "store")
    (data / "glue-cola.validation.jsonl").unlink()
    with pytest.raises(DataError, match=r"lacks glue-cola\.validation\.jsonl; has glue-cola"):
        kept("glue-cola", data, store)
    write(data, "sst2", "train", (0, 1, 2))
    with pytest.raises(DataError, match=r"glue-sst2\.train\.jsonl:3: label is 2, it must be 0 to"):
        kept("glue-sst2", data, store)
    write(data, "sst2", "train", (0, 1), sentence="")
    with pytest.raises(DataError, match=r"glue-sst2\.train\.jsonl:1: needs text in sentence"):
        kept("glue-sst2", data, store)
    write(data, "sst2", "train", (1, 1, 1))
    with pytest.raises(DataError, match="its first 4,096 lines have fewer than two labels"):
        kept("glue-sst2", data, store)


def test_without_a_folder_and_for_a_regression_it_is_said_what_is_needed(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(
        UsageError, match=r"glue-cola\.train\.jsonl, glue-cola\.validation\.jsonl b"
    ):
        requested_evaluation(OWN, None, None, None, store, "glue-cola")
    with pytest.raises(UsageError, match="no probe 'glue-stsb'"):
        requested_evaluation(OWN, None, tmp_path, None, store, "glue-stsb")
