"""Tasks with data of their own: found, checked, kept, scored; row 27 of what may be wrong."""

import dataclasses
import json
import multiprocessing
import signal

import pytest

from raydistill.core import fault_injection as faults
from raydistill.core.errors import DataError, UsageError
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.evaluation.lm_harness import download as hub
from raydistill.evaluation.lm_harness import task_data
from raydistill.evaluation.lm_harness.catalogue import named_tasks
from raydistill.evaluation.lm_harness.download import download_task_data
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import (
    FEWSHOT,
    ITEMS,
    keep_task_data,
    missing_task_data,
    with_sources,
)
from raydistill.evaluation.scoring import scores_of, source_key
from raydistill.models.decoder import build
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.storage.store import Store
from support import task_samples

CONFIG = ModelConfig(family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=64)
OWN = EvalSpec(tasks=("word-order",), heldout_windows=16, curve_windows=8)
ALL = EvalSpec(tasks=tuple(PAPER13), heldout_windows=16, curve_windows=8)
GSM8K = [
    {"question": f"What is {n} and {n}?", "answer": f"They make {2 * n}.\n#### {2 * n}"}
    for n in range(1, 9)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return task_samples.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store):
    return prepare_corpus("smoke", store=store)


@pytest.fixture(scope="module")
def model():
    return build(CONFIG, 0)


def test_a_group_stands_for_its_tasks_and_each_task_comes_once():
    assert named_tasks("paper13, copa") == tuple(PAPER13)
    assert named_tasks("gsm8k,word-order") == ("gsm8k", "word-order")


@pytest.mark.parametrize(
    ("name", "near"), [("pica", "piqa"), ("papr13", "paper13"), ("gsm8", "gsm8k")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(UsageError, match=f"no task '{name}'. Did you mean '{near}'") as refusal:
        named_tasks(name)
    assert "continuation, last-word, word-order, piqa, " in str(refusal.value)
    assert "of lm-eval" in str(refusal.value)


def test_tasks_of_the_corpus_are_measured_as_before(store):
    assert with_sources(OWN, None, store) == OWN


def test_what_a_folder_lacks_is_named(tmp_path, store):
    few = {name: task_samples.SAMPLES[name] for name in ("piqa", "copa")}
    with pytest.raises(DataError, match=r"lacks hellaswag.jsonl, .*; has copa.jsonl, piqa.jsonl"):
        with_sources(ALL, task_samples.write(tmp_path, few), store)


def test_without_a_folder_a_task_waits_for_the_hub(store):
    assert missing_task_data(with_sources(ALL, None, store)) == ALL.tasks


BROKEN = [
    ("not json", "Expecting value"),
    ("[1]", "no object with the fields of a document"),
    ('{"goal": "a", "sol1": "b", "label": 0}', "no field 'sol2'"),
    ('{"goal": "a", "sol1": "b", "sol2": "c", "label": 2}', "the right answer is 2, of 2 choices"),
    ('{"goal": "a", "sol1": "b", "sol2": "c", "label": -1}', "is -1, of 2"),
    ('{"goal": "a", "sol1": "", "sol2": "c", "label": 0}', "a text that is empty"),
    ('{"goal": "a", "sol1": "b", "sol2": "c", "label": "x"}', "another form"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN)
def test_a_broken_line_is_named(tmp_path, store, line, message):
    good = json.dumps(task_samples.SAMPLES["piqa"][0])
    (tmp_path / "piqa.jsonl").write_text(f"{good}\n\n{line}\n")
    spec = EvalSpec(tasks=("piqa",), heldout_windows=1, curve_windows=1)
    with pytest.raises(DataError, match=f"piqa.jsonl:3: .*{message}"):
        with_sources(spec, tmp_path, store)


def test_no_documents_are_refused(tmp_path, store):
    (tmp_path / "piqa.jsonl").write_text("\n")
    spec = EvalSpec(tasks=("piqa",), heldout_windows=1, curve_windows=1)
    with pytest.raises(DataError, match="has no documents: no mean is taken over fewer tasks"):
        with_sources(spec, tmp_path, store)


@pytest.fixture
def measured(store, data):
    """All 13, their data in the store."""
    spec = with_sources(ALL, data, store)
    keep_task_data(spec, data, store)
    return spec


def score(root, folder, spec):
    """In a process of its own: a fresh model of the same weights, and all that is asked."""
    store = Store(root)
    return scores_of("a" * 64, lambda: build(CONFIG, 0), store=store, folder=folder, spec=spec)


def test_an_evaluation_killed_after_five_tasks_does_eight_more(
    store, folder, measured, monkeypatch, tmp_path
):
    monkeypatch.setenv(faults.LOG_VARIABLE, str(tmp_path / "faults"))
    monkeypatch.setenv(faults.PLAN_VARIABLE, "kill@evaluation=7")  # the perplexity is the first
    child = multiprocessing.get_context("spawn").Process(
        target=score, args=(store.root, folder, measured)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in store.path("scores", "a" * 64).iterdir()}
    assert len(kept) == 1 + 5
    scores = score(store.root, folder, measured)
    assert scores.tasks.keys() == set(PAPER13)
    assert scores.tasks["mrpc"].beside
    after = {path: path.stat().st_mtime_ns for path in store.path("scores", "a" * 64).iterdir()}
    assert len(after) == 1 + 13
    assert kept.items() <= after.items()


def test_a_score_is_of_the_data_the_examples_and_the_tokenizer(store, data, tmp_path, folder):
    corpus = store.load(CorpusInfo, "corpora", folder.name, "corpus.json")
    spec = EvalSpec(tasks=("sst2",), heldout_windows=1, curve_windows=1)

    def key(folder, shots=None, **changes):
        source = with_sources(spec, folder, store, shots).sources[0]
        return source_key(source, dataclasses.replace(corpus, **changes))

    other = task_samples.write(tmp_path, {"sst2": task_samples.SAMPLES["sst2"][:1]})
    shown = task_samples.write(tmp_path / "shown", {
        "sst2": task_samples.SAMPLES["sst2"], "sst2.fewshot": task_samples.SAMPLES["sst2"],
    })  # fmt: skip
    assert key(data) == key(data, 0) == key(data, corpus_sha256="other")
    assert len({key(data), key(other), key(shown, 1), key(data, tokenizer_sha256="x")}) == 4


def test_few_shot_needs_examples(tmp_path, store, data):
    spec = EvalSpec(tasks=("sst2",), heldout_windows=1, curve_windows=1)
    with pytest.raises(DataError, match=r"lacks sst2.fewshot.jsonl"):
        with_sources(spec, data, store, 2)
    with pytest.raises(UsageError, match="--num-fewshot is for tasks with data of their own"):
        with_sources(OWN, data, store, 2)
    task_samples.write(tmp_path, {"sst2": task_samples.SAMPLES["sst2"],
                                  "sst2.fewshot": task_samples.SAMPLES["sst2"][:1]})  # fmt: skip
    with pytest.raises(DataError, match="has 1 documents, 2 are shown before every item"):
        with_sources(spec, tmp_path, store, 2)


def test_a_generating_task_of_lm_eval_shows_its_five_examples(tmp_path, store, folder, model):
    """GSM8K on a model that knows nothing: 0, where a guess gives 0."""
    spec = EvalSpec(tasks=("gsm8k",), heldout_windows=16, curve_windows=8)
    task_samples.write(tmp_path, {"gsm8k": GSM8K[:2], "gsm8k.fewshot": GSM8K[2:]})
    spec = with_sources(spec, tmp_path, store)
    assert spec.sources[0].num_fewshot == 5
    keep_task_data(spec, tmp_path, store)
    scores = scores_of("b" * 64, lambda: model, store=store, folder=folder, spec=spec)
    score = scores.tasks["gsm8k"]
    assert (score.value, score.chance) == (0.0, 0.0)
    assert dict(score.beside).keys() == {"exact_match,flexible-extract"}


def test_data_that_changes_after_the_plan_is_refused(tmp_path):
    store = Store(tmp_path / "store")
    spec = EvalSpec(tasks=("cb",), heldout_windows=1, curve_windows=1)
    folder = task_samples.write(tmp_path, {"cb": task_samples.SAMPLES["cb"]})
    planned = with_sources(spec, folder, store)
    with (folder / "cb.jsonl").open("a") as file:
        file.write(json.dumps(task_samples.SAMPLES["cb"][0]) + "\n")
    with pytest.raises(DataError, match="has changed meanwhile"):
        keep_task_data(planned, folder, store)
    assert not task_data.data_folder(planned.sources[0], store).exists()


def test_what_the_hub_does_not_give_is_named_together(store, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"no local data for cb, copa, .*--task-data") as refusal:
        download_task_data(["cb", "copa"], store)
    assert "with cb.jsonl, copa.jsonl" in str(refusal.value)
    assert not store.path("task_data", "hub").exists()


def test_data_of_the_hub_is_kept_like_ones_own(tmp_path, monkeypatch):
    """A folder stands for the hub: `datasets` reads both alike."""
    sst2 = task_samples.SAMPLES["sst2"]
    there = task_samples.write(tmp_path / "there", {"train": sst2, "validation": sst2[:1]})
    task = dataclasses.replace(PAPER13["sst2"], hub=(str(there), "", "validation"))
    monkeypatch.setattr(hub, "PAPER13", {"sst2": task})
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    store = Store(tmp_path / "store")
    download_task_data(["sst2"], store)
    spec = EvalSpec(tasks=("sst2",), heldout_windows=1, curve_windows=1)
    (source,) = with_sources(spec, None, store).sources
    kept = task_data.data_folder(source, store)
    assert [json.loads(line) for line in (kept / ITEMS).read_text().splitlines()] == sst2[:1]
    assert len((kept / FEWSHOT).read_text().splitlines()) == 2
