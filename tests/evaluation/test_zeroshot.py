import dataclasses
import importlib
import json
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from raydistill.core.errors import DataError, UsageError
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.data.tokenizer import load_tokenizer
from raydistill.evaluation import text_tasks as tasks
from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.evaluation.lm_harness.zeroshot import score_tasks
from raydistill.evaluation.scoring import (
    EVALUATOR_VERSION,
    PERPLEXITY,
    score_key,
    scores_of,
    standard_error,
)
from raydistill.evaluation.task_items import make_items
from raydistill.evaluation.text_tasks import TASKS, chance, choose_items
from raydistill.models.decoder import build
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.part_identity import part_identity
from raydistill.specs.results import UnitScores
from raydistill.storage.store import Store

CONFIG = ModelConfig(family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=64)
SPEC = EvalSpec(tasks=TASKS, heldout_windows=16, curve_windows=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store):
    return prepare_corpus("smoke", store=store)


@pytest.fixture(scope="module")
def items(store, folder):
    """The file of items of every task."""
    return make_items(TASKS, store=store, folder=folder)


@pytest.fixture(scope="module")
def model():
    """Far from uniform, so that an error of one position shows."""
    fresh = build(CONFIG, 0)
    with torch.no_grad():
        for p in fresh.parameters():
            p.mul_(3)
    return fresh


@pytest.fixture(scope="module")
def heldout():
    _, documents = embedded.split(embedded.TRANSLATIONS, every=1, heldout=70)
    return documents


def plainly(model, context, continuation):
    """Log-probability of one continuation, one forward pass, explicit softmax."""
    tokens = torch.tensor([*context, *continuation])[-model.config.context - 1 :]
    with torch.no_grad():
        log_probabilities = model(tokens[None, :-1])[0].double().log_softmax(-1)
    rows = range(len(tokens) - 1 - len(continuation), len(tokens) - 1)
    scored = log_probabilities[rows]
    greedy = scored.argmax(-1).tolist() == list(continuation)
    return scored[range(len(continuation)), list(continuation)].sum().item(), greedy


def test_answers_are_those_of_one_request_at_a_time(model):
    draw = torch.Generator().manual_seed(0)

    def ids(size):
        return tuple(torch.randint(0, 2048, (size,), generator=draw).tolist())

    shared = ids(20)
    requests = [Request(context=shared, continuation=ids(1)) for _ in range(4)]
    requests += [Request(context=shared, continuation=ids(n)) for n in (2, 5, 9)]
    requests += [Request(context=ids(n), continuation=ids(3)) for n in (1, 30, 63, 64, 90)]
    requests += [requests[0], Request(context=shared[:7], continuation=shared[7:11])]
    likeliest = model(torch.tensor([shared]))[0, -1].argmax().item()
    requests.append(Request(context=shared, continuation=(likeliest,)))
    answers = score_requests(model, requests)
    for request, given in zip(requests, answers, strict=True):
        expected, greedy = plainly(model, request.context, request.continuation)
        assert given.log_probability == pytest.approx(expected, abs=1e-4)
        assert given.greedy == greedy
    assert answers[-1].greedy


def test_choices_that_share_a_context_are_one_row(model):
    rows = []
    with model.watching_blocks(lambda layer, inputs, _: rows.append((layer, inputs.shape))):
        score_requests(model, [Request(context=(1, 2, 3), continuation=(n,)) for n in range(4)])
    assert rows[0] == (0, (1, 3, 16))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_won_by_the_likeliest_choice(folder, items, model, name):
    lm = DecoderLM(model, load_tokenizer(folder / "tokenizer.json"), 0)
    right = []
    for item in map(json.loads, items[name].read_text().splitlines()):
        scores = [
            plainly(model, *lm._encode_pair(item["context"], f" {choice}"))[0]
            / (len(choice) if name == "continuation" else 1)
            for choice in item["choices"]
        ]
        right.append(scores.index(max(scores)) == item["answer"])
    scored = score_tasks(model, folder, {name: items[name]})[name]
    assert sum(scored.sums) == sum(right)
    assert sum(scored.counts) == len(right)
    assert set(scored.units) <= set(embedded.heldout_units())


def test_two_models_in_one_process_do_not_share_answers(folder, items, model):
    other = build(CONFIG, 7)
    first = score_tasks(model, folder, items)
    assert score_tasks(other, folder, items) != first
    assert score_tasks(model, folder, items) == first


def test_scoring_says_nothing(folder, items, model, capfd):
    score_tasks(model, folder, items)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TASKS)
def test_the_embedded_corpus_has_enough_items(heldout, name):
    items = choose_items(name, heldout)
    assert len(items) >= 400
    assert len({item.unit for item in items}) == 70
    assert all(len(set(item.choices)) == 1 / chance(name) for item in items)
    answers = [item.answer for item in items]
    assert all(answers.count(place) > 0.15 * len(items) for place in range(4))
    assert items == choose_items(name, heldout)


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answer_is_what_stands_in_the_text(heldout, name):
    texts = {}
    for document in heldout:
        texts[document.unit] = texts.get(document.unit, "") + " " + document.text
    for item in choose_items(name, heldout):
        original = f"{item.context} {item.choices[item.answer]}"
        assert original in " ".join(texts[item.unit].split())


def test_wrong_last_words_fit_the_word_before(heldout):
    words = {}
    for document in heldout:
        text = document.text.split()
        for before, word in pairwise(text):
            words.setdefault(before.lower(), set()).add(word.strip(".,;:?!\"'()"))
    for item in choose_items("last-word", heldout):
        assert set(item.choices) <= words[item.context.split()[-1].lower()]


def test_wrong_word_orders_are_made_of_the_same_words(heldout):
    for item in choose_items("word-order", heldout):
        assert len({tuple(sorted(choice.split())) for choice in item.choices}) == 1


def test_kept_scores_are_not_measured_again(folder, store, model):
    loads = []

    def load():
        loads.append(1)
        return model

    few = EvalSpec(tasks=("last-word",), heldout_windows=16, curve_windows=8)
    first = scores_of("a" * 64, load, store=store, folder=folder, spec=few)
    assert scores_of("a" * 64, load, store=store, folder=folder, spec=few) == first
    assert len(loads) == 1
    more = scores_of("a" * 64, load, store=store, folder=folder, spec=SPEC)
    assert len(loads) == 2
    assert (more.nll, more.tasks["last-word"]) == (first.nll, first.tasks["last-word"])
    assert scores_of("b" * 64, load, store=store, folder=folder, spec=few).nll == first.nll
    assert len(loads) == 3, "other weights are other scores"
    assert len(list(store.path("scores", "a" * 64).iterdir())) == 1 + len(TASKS)


def test_scores_carry_chance_and_a_standard_error_over_chapters(folder, store, model):
    scores = scores_of("c" * 64, lambda: model, store=store, folder=folder, spec=SPEC)
    assert set(scores.tasks) == set(TASKS)
    for task in scores.tasks.values():
        assert task.chance == 0.25
        assert abs(task.value - 0.25) < 5 * task.stderr
    kept = UnitScores(units=("x", "y"), sums=(1.0, 3.0), counts=(4, 4))
    assert standard_error(kept) == pytest.approx(0.25)
    assert standard_error(UnitScores(units=("x",), sums=(1.0,), counts=(4,))) == 0.0


def test_the_key_of_a_score_names_what_was_measured():
    corpus = CorpusInfo(
        name="", corpus_sha256="1", tokenizer_sha256="2", vocab_size=1, token_bytes=2,
        train_tokens=1, heldout_tokens=1, train_documents=1, heldout_documents=1,
    )  # fmt: skip
    assert EVALUATOR_VERSION == 1
    with pytest.raises(UsageError, match="no task 'last-wrd'"):
        score_key("last-wrd", corpus, 8)
    assert score_key("last-word", corpus, 8) == score_key("last-word", corpus, 16)
    assert score_key(PERPLEXITY, corpus, 8) != score_key(PERPLEXITY, corpus, 16)


def test_an_unknown_task_is_answered_with_the_nearest(folder, store):
    with pytest.raises(UsageError, match="Did you mean 'last-word'"):
        make_items(["last-wrd"], store=store, folder=folder)


def test_items_made_from_the_corpus_folder_are_those_of_the_text_itself(items):
    _, heldout = embedded.split(("kjv", "bbe"), every=16, heldout=12)
    for name, file in items.items():
        lines = [json.dumps(dataclasses.asdict(item)) for item in choose_items(name, heldout)]
        assert file.read_text().splitlines() == lines


def test_items_are_made_once(folder, store, items):
    before = {name: file.stat().st_mtime_ns for name, file in items.items()}
    assert make_items(TASKS, store=store, folder=folder) == items
    assert {name: file.stat().st_mtime_ns for name, file in items.items()} == before


NEW_TASK = """
from raydistill.evaluation.text_tasks import shuffled_item
CHOICES, METRIC = 2, "acc"
def candidates(document, neighbours, rng):
    yield ask(document.unit, document.text[:40], "and", ["{wrong}"], rng)
"""


@pytest.fixture
def task_file(tmp_path, monkeypatch):
    """Where a user puts a task of their own, `first-word`."""
    tasks.__path__.append(str(tmp_path))
    yield tmp_path / "first_word.py"
    tasks.__path__.remove(str(tmp_path))
    forget(monkeypatch)


def forget(monkeypatch):
    """As in a new process: nothing of the task is loaded."""
    part_identity.cache_clear()
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "raydistill.evaluation.text_tasks.first_word", raising=False)


def test_an_added_task_is_asked_in_a_store_that_knows_the_corpus(folder, store, model, task_file):
    task_file.write_text(NEW_TASK.format(wrong="but"))
    spec = EvalSpec(tasks=("first-word",), heldout_windows=16, curve_windows=8)
    scores = scores_of("d" * 64, lambda: model, store=store, folder=folder, spec=spec)
    assert scores.tasks["first-word"].chance == 0.5


def test_an_edited_task_has_new_items_and_new_scores(folder, store, task_file, monkeypatch):
    corpus = store.load(CorpusInfo, "corpora", folder.name, "corpus.json")
    keys, texts = set(), []
    for wrong in ("but", "while"):
        task_file.write_text(NEW_TASK.format(wrong=wrong))
        forget(monkeypatch)
        keys.add(score_key("first-word", corpus, 16))
        made = make_items(["first-word"], store=store, folder=folder)["first-word"]
        texts.append(made.read_text())
    assert len(keys) == 2
    assert '"while"' in texts[1]
    assert texts[0] == texts[1].replace('"while"', '"but"')


def own_corpus(tmp_path, pages):
    """A corpus of so many documents, of which one in 16 is held out."""
    words = "In those days the king of the city counted his ships and gave them to the river."
    text = (f"{words} Day {page:02d} went by. " * 40 for page in range(pages))
    (tmp_path / "a.txt").write_text("\f".join(text))
    store = Store(tmp_path / "store")
    return store, prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)


def test_a_corpus_too_short_for_a_task_is_refused_in_one_line(tmp_path):
    store, folder = own_corpus(tmp_path, 32)
    info = store.load(CorpusInfo, "corpora", folder.name, "corpus.json")
    assert info.heldout_documents == 2
    with pytest.raises(DataError) as caught:
        make_items(TASKS, store=store, folder=folder)
    assert str(caught.value) == (
        "the corpus 'a.txt' has no items for task 'continuation': its held-out text is too short "
        f"({info.heldout_tokens} tokens in 2 documents); add text"
    )
    assert not store.path("items").exists()


def test_two_held_out_documents_are_enough_for_a_task_that_needs_no_others(tmp_path, model):
    store, folder = own_corpus(tmp_path, 32)
    spec = EvalSpec(tasks=("word-order",), heldout_windows=16, curve_windows=8)
    scores = scores_of("e" * 64, lambda: model, store=store, folder=folder, spec=spec)
    assert 0 <= scores.tasks["word-order"].value <= 1
    assert scores.nll > 0


def test_importing_the_evaluation_imports_neither_torch_nor_lm_eval():
    code = (
        "import sys; from raydistill.evaluation.scoring import score_key; "
        "from raydistill.specs.part_identity import part_identity; "
        "from raydistill.core.parts import TASK; part_identity(TASK, 'last-word'); "
        "print(sorted({'torch', 'numpy', 'lm_eval', 'datasets', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
