"""Our scoring beside lm-eval's own `HFLM`: the same weights, tokenizer and requests, in float32."""

import random

import pytest
from lm_eval.api.instance import Instance

from raydistill.data.tokenizer import END_OF_TEXT, load_tokenizer
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.student import Student
from raydistill.specs.results import Truncation
from support.hub_models import save_model

WORDS = ("go", "in", "peace", "unto", "the", "LORD", "thy", "servant", "is", "with", "thee")
POSITIONS, WINDOW = 192, 32  # of the model, and of the windows that it is trained in
FAR_FROM_UNIFORM = {"max_position_embeddings": POSITIONS, "initializer_range": 0.2}


@pytest.fixture(scope="module", params=["llama", "gpt_neox", "gpt2", "gemma3_text"])
def folder(request, tmp_path_factory):
    """A model that reads more than a training window: positions rotated or learned, or sliding."""
    return save_model(tmp_path_factory.mktemp(request.param), request.param, **FAR_FROM_UNIFORM)


def both(folder, removed=(), **limits):
    """Our model and lm-eval's on the same weights, without the layers `removed`."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    student = Student(load_pretrained(read_checkpoint(str(folder), "main", WINDOW)).eval())
    student.remove(removed)
    tokenizer = load_tokenizer(folder)
    ours = DecoderLM(student.model, tokenizer, tokenizer.token_to_id(END_OF_TEXT), **limits)
    stock, slow = student.model.inner, AutoTokenizer.from_pretrained(folder)
    return ours, HFLM(pretrained=stock, tokenizer=slow, batch_size=8, **limits)


def text(draw, longest):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint((longest + 1) // 2, longest)))


def instances(kind, arguments):
    return [
        Instance(request_type=kind, doc={}, arguments=pair, idx=index, metadata=("task", index, 1))
        for index, pair in enumerate(arguments)
    ]


def loglikelihood_requests():
    """Contexts of many lengths, some longer than the model's; one to five choices each."""
    draw = random.Random(0)
    lengths = (1, 5, 12, 25, 40, 90, 180, 400)
    pairs = [
        (context, f" {text(draw, 8)}")
        for context in ["", *(text(draw, longest) for longest in lengths * 3)]
        for _ in range(draw.randint(1, 5))
    ]
    return instances("loglikelihood", pairs)


@pytest.mark.parametrize(
    ("removed", "limits"), [((), {}), ((1, 3), {}), ((), {"max_length": 40})],
    ids=["whole", "student", "cut"],
)  # fmt: skip
def test_log_likelihoods_and_decisions_are_those_of_hflm(folder, removed, limits):
    """At the model's own length, however short a training window is, or at a shorter one."""
    ours, theirs = both(folder, removed, **limits)
    assert ours.max_length == theirs.max_length == limits.get("max_length", POSITIONS)
    requests = loglikelihood_requests()
    results = ours.loglikelihood(requests)
    expected = theirs.loglikelihood(requests, disable_tqdm=True)
    assert max(len(ours.tok_encode("".join(r.args))) for r in requests) > POSITIONS + 1
    assert len(results) > 60
    for (log_likelihood, greedy), (other, other_greedy) in zip(results, expected, strict=True):
        assert log_likelihood == pytest.approx(other, abs=1e-4)
        assert greedy == other_greedy


def test_an_item_that_is_longer_than_what_is_read_is_counted_once(folder):
    """A request of which 40 tokens are read has 41: the last one is never an input."""
    ours, _ = both(folder, max_length=40)
    context = "the" + " the" * 37
    assert len(ours.tok_encode(context)) == 39
    arguments = [
        (context, " the the"), (context, " the"), (context, " the the the"),
        (f"the {context}", " the the"), ("the", " the"),
    ]  # fmt: skip
    requests = instances("loglikelihood", arguments)
    for request, item in zip(requests, (0, 1, 2, 2, 3), strict=True):
        request.doc_id = item
    ours.loglikelihood(requests)
    assert ours.truncation == Truncation(max_length=40, items=4, truncated=1)
    texts = [(context, {"max_gen_toks": 1}), (context, {"max_gen_toks": 2}), ("the", {})]
    ours, _ = both(folder, max_length=40)
    ours.generate_until(instances("generate_until", texts))
    assert ours.truncation == Truncation(max_length=40, items=3, truncated=1)


def test_generated_text_is_that_of_hflm(folder):
    """Contexts lose as much of their beginning as `max_gen_toks` takes of the model's length."""
    ours, theirs = both(folder)
    draw = random.Random(1)
    until = ["\n\n", " the the"]
    requests = instances(
        "generate_until",
        [
            (text(draw, longest), {"until": until, "max_gen_toks": size, "do_sample": False})
            for longest in (5, 90, 400)
            for size in (7, POSITIONS // 2 + 20)
        ],
    )
    answers = ours.generate_until(requests)
    assert answers == theirs.generate_until(requests, disable_tqdm=True)
    assert any(answers)
