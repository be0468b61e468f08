"""All of the paper's tasks as lm-eval's own `HFLM` answers them, on every kind of tokenizer."""

import pytest
from lm_eval.api.model import LM

from raydistill.data.tokenizer import end_of_text_id
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.evaluation.lm_harness.file_tasks import paper_task
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import FEWSHOT, ITEMS
from raydistill.evaluation.lm_harness.zeroshot import score_with
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.request_tokenizer import read_tokenizer, reading_of
from raydistill.specs.scale import PAPER_TASKS
from support.task_samples import SAMPLES, write
from support.tokenizer_kinds import BEGIN, KINDS, save_kind

POSITIONS, SHOTS = 64, 2
FAR = "the river went down to the old mill ; é 漢字 " * 12  # longer than the model reads
EDGES = (
    ("", " no way"), ("", f"{BEGIN} no"), ("the old  \n ", " river"), (FAR, FAR[:40]),
    ("a", " word was with the river , and the old man went with it"),
)  # fmt: skip
"""Without context; contexts that end in spaces; continuations longer than theirs."""

CONTEXT = {
    "piqa": "goal", "hellaswag": "ctx_a", "winogrande": "sentence", "boolq": "passage",
    "openbookqa": "question_stem", "sciq": "support", "arc_easy": "question",
    "arc_challenge": "question", "rte": "sentence1", "cb": "premise", "copa": "premise",
    "mrpc": "sentence1", "sst2": "sentence",
}  # fmt: skip
"""The field of a document that its requests begin with."""


class Answers(LM):
    """A model that gives the answers that it was told."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def loglikelihood(self, requests, disable_tqdm=True):
        return [self.answers[request.args] for request in requests]

    def loglikelihood_rolling(self, requests, disable_tqdm=True):
        raise NotImplementedError

    def generate_until(self, requests, disable_tqdm=True):
        raise NotImplementedError


def documents_of(name):
    """Those of the samples; the first also after words of other scripts, and after a long text."""
    yield from SAMPLES[name][:2]
    for text in ("Zoë's 123 é ü 漢字 ", "a word  and another\n", FAR):
        yield SAMPLES[name][0] | {CONTEXT[name]: text + SAMPLES[name][0][CONTEXT[name]]}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """The paper's tasks, without examples and with two before every item."""
    root = tmp_path_factory.mktemp("data")
    write(root, {name: list(documents_of(name)) for name in SAMPLES})
    for name in PAPER_TASKS:
        (root / name).mkdir()
        (root / f"{name}.jsonl").rename(root / name / ITEMS)
        (root / name / FEWSHOT).write_bytes((root / name / ITEMS).read_bytes())
    return [paper_task(name, root / name, shots) for name in PAPER_TASKS for shots in (0, SHOTS)]


@pytest.fixture(scope="module")
def instances(tasks):
    """Every request of every task once, and those at the edges."""
    return {request.args: request for task in tasks for request in task._requests}


def test_the_tasks_are_the_paper_s():
    assert set(PAPER_TASKS) == set(PAPER13) == set(SAMPLES)


@pytest.mark.parametrize("kind", KINDS)
def test_log_likelihoods_and_scores_are_those_of_hflm(kind, tasks, instances, tmp_path):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    folder = save_kind(tmp_path / "model", kind, positions=POSITIONS)
    read = read_tokenizer(folder / "tokenizer.json", reading_of(folder))
    ours = DecoderLM(
        load_pretrained(read_checkpoint(str(folder), "main")).eval(),
        read.tokenizer,
        end_of_text_id(read.tokenizer, folder),
        first_id=read.tokenizer.token_to_id(read.first_token),
    )
    # What a template puts after texts HFLM leaves between context and continuation.
    other = save_kind(tmp_path / "begun", "begins") if kind == "begins and ends" else folder
    edges = [Instance("loglikelihood", {}, pair, 0) for pair in EDGES]
    requests = [*instances.values(), *edges]
    pairs = [request.args for request in requests]
    own = dict(zip(pairs, ours.loglikelihood(requests), strict=True))
    assert ours.truncation.truncated > 0
    for size, step in ((1, 5), (16, 1)):
        options = {"dtype": "float32", "batch_size": size, "logits_cache": False}
        stock = HFLM(pretrained=str(other), device="cpu", **options)
        assert stock.max_length == ours.max_length == POSITIONS
        answers = stock.loglikelihood(requests[::step], disable_tqdm=True)
        theirs = dict(zip(pairs[::step], answers, strict=True))
        for pair in theirs:
            assert own[pair][0] == pytest.approx(theirs[pair][0], abs=1e-4), pair
            assert own[pair][1] == theirs[pair][1], pair
    for task in tasks:
        assert score_with(Answers(own), task) == score_with(Answers(theirs), task)
