import json
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from raydistill import embedded
from raydistill.corpus import prepare_corpus
from raydistill.errors import DataError, UsageError
from raydistill.evaluate import (
    EVALUATOR_VERSION,
    PERPLEXITY,
    TASKS,
    chance,
    score_key,
    scores_of,
    standard_error,
)
from raydistill.evaluate.loglikelihood import Request, answer
from raydistill.evaluate.tasks import make_items
from raydistill.evaluate.zeroshot import DecoderLM, score_tasks
from raydistill.models import build
from raydistill.spec import CorpusInfo, EvalSpec, ModelConfig, UnitScores
from raydistill.store import Store
from raydistill.tokenizer import load_tokenizer

CONFIG = ModelConfig(family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=64)
SPEC = EvalSpec(tasks=TASKS, heldout_windows=16, curve_windows=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store):
    return prepare_corpus("smoke", store=store)


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


def items_of(folder, name):
    lines = (folder / "tasks" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


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
    answers = answer(model, requests)
    for request, given in zip(requests, answers, strict=True):
        expected, greedy = plainly(model, request.context, request.continuation)
        assert given.log_probability == pytest.approx(expected, abs=1e-4)
        assert given.greedy == greedy
    assert answers[-1].greedy


def test_choices_that_share_a_context_are_one_row(model):
    rows = []
    with model.watching_blocks(lambda layer, inputs, _: rows.append((layer, inputs.shape))):
        answer(model, [Request(context=(1, 2, 3), continuation=(n,)) for n in range(4)])
    assert rows[0] == (0, (1, 3, 16))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_won_by_the_likeliest_choice(folder, model, name):
    lm = DecoderLM(model, load_tokenizer(folder / "tokenizer.json"))
    right = []
    for item in items_of(folder, name):
        scores = [
            plainly(model, *lm._encode_pair(item["context"], f" {choice}"))[0]
            / (len(choice) if name == "continuation" else 1)
            for choice in item["choices"]
        ]
        right.append(scores.index(max(scores)) == item["answer"])
    scored = score_tasks(model, folder, [name])[name]
    assert sum(scored.sums) == sum(right)
    assert sum(scored.counts) == len(right)
    assert set(scored.units) <= set(embedded.heldout_units())


def test_two_models_in_one_process_do_not_share_answers(folder, model):
    other = build(CONFIG, 7)
    first = score_tasks(model, folder, TASKS)
    assert score_tasks(other, folder, TASKS) != first
    assert score_tasks(model, folder, TASKS) == first


def test_scoring_says_nothing(folder, model, capfd):
    score_tasks(model, folder, TASKS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TASKS)
def test_the_embedded_corpus_has_enough_items(heldout, name):
    items = make_items(name, heldout)
    assert len(items) >= 400
    assert len({item.unit for item in items}) == 70
    assert all(len(set(item.choices)) == 1 / chance(name) for item in items)
    answers = [item.answer for item in items]
    assert all(answers.count(place) > 0.15 * len(items) for place in range(4))
    assert items == make_items(name, heldout)


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answer_is_what_stands_in_the_text(heldout, name):
    texts = {}
    for document in heldout:
        texts[document.unit] = texts.get(document.unit, "") + " " + document.text
    for item in make_items(name, heldout):
        original = f"{item.context} {item.choices[item.answer]}"
        assert original in " ".join(texts[item.unit].split())


def test_wrong_last_words_fit_the_word_before(heldout):
    words = {}
    for document in heldout:
        text = document.text.split()
        for before, word in pairwise(text):
            words.setdefault(before.lower(), set()).add(word.strip(".,;:?!\"'()"))
    for item in make_items("last-word", heldout):
        assert set(item.choices) <= words[item.context.split()[-1].lower()]


def test_wrong_word_orders_are_made_of_the_same_words(heldout):
    for item in make_items("word-order", heldout):
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
    assert score_key("last-word", corpus, 8) == score_key("last-word", corpus, 16)
    assert score_key(PERPLEXITY, corpus, 8) != score_key(PERPLEXITY, corpus, 16)


def test_an_unknown_task_is_answered_with_the_nearest(folder, model):
    with pytest.raises(UsageError, match="Did you mean 'last-word'"):
        score_tasks(model, folder, ["last-wrd"])


def test_a_task_without_items_is_an_error_not_a_smaller_average(folder, model, tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "last-word.jsonl").write_text("")
    with pytest.raises(DataError, match="task 'last-word' has no items"):
        score_tasks(model, tmp_path, ["last-word"])


def test_importing_the_evaluation_imports_neither_torch_nor_lm_eval():
    code = (
        "import sys, raydistill.evaluate as e; e.chance('last-word'); "
        "print(sorted({'torch', 'numpy', 'lm_eval', 'datasets', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
