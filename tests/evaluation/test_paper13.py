"""Table 2 as a test: each task's metric on documents whose right answer is worked out by hand."""

import pytest
from lm_eval.api.model import LM

from raydistill.evaluation.lm_harness.file_tasks import lm_eval_task, paper_task
from raydistill.evaluation.lm_harness.paper13 import PAPER13, check_document
from raydistill.evaluation.lm_harness.task_data import ITEMS
from raydistill.evaluation.lm_harness.zeroshot import score_with
from support import task_samples

TABLE_2 = {
    "piqa": "acc_norm", "hellaswag": "acc_norm", "boolq": "acc_norm", "openbookqa": "acc_norm",
    "rte": "acc_norm", "winogrande": "acc", "sciq": "acc", "arc_easy": "acc", "cb": "acc",
    "copa": "acc", "sst2": "acc", "arc_challenge": "pmi_dc", "mrpc": "f1",
}  # fmt: skip


class Written(LM):
    """A model that gives every continuation the log-likelihood written for it, else -50."""

    def __init__(self, nats):
        super().__init__()
        self.nats, self.requests = nats, []

    def loglikelihood(self, requests, disable_tqdm=True):
        self.requests = [request.args for request in requests]
        return [(self._of(*args), False) for args in self.requests]

    def _of(self, context, continuation):
        return self.nats.get((context, continuation), self.nats.get(continuation, -50.0))

    def loglikelihood_rolling(self, requests, disable_tqdm=True):
        raise NotImplementedError

    def generate_until(self, requests, disable_tqdm=True):
        raise NotImplementedError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Where the documents of each task lie, as the store has them."""
    root = tmp_path_factory.mktemp("data")
    task_samples.write(root)
    for name in PAPER13:
        (root / name).mkdir()
        (root / f"{name}.jsonl").rename(root / name / ITEMS)
    return root


@pytest.fixture
def scored(folders):
    """`scored(name, nats)`: the score of a task when the model answers with `nats`."""

    def score(name, nats):
        return score_with(Written(nats), paper_task(name, folders / name, 0))

    return score


def test_table_2_has_13_tasks():
    assert {name: task.metric for name, task in PAPER13.items()} == TABLE_2


@pytest.mark.parametrize("name", PAPER13)
def test_a_model_is_asked_what_lm_eval_asks(folders, name):
    ours, theirs = Written({}), Written({})
    score_with(ours, paper_task(name, folders / name, 0))
    score_with(theirs, lm_eval_task(name, folders / name, 0))
    requests = [
        pair for pair in ours.requests if name != "arc_challenge" or pair[0] not in ("Answer:", "")
    ]
    assert requests == theirs.requests


@pytest.mark.parametrize("name", ["piqa", "openbookqa", "hellaswag"])
def test_characters_normalise_and_not_tokens(scored, name):
    """15 characters in one word against 7 in four: -6/15 > -4/7, but -6/1 < -4/4 and -6 < -4."""
    nats = {" extraordinarily": -6.0, " a b c d": -4.0, " in a pot": -1.0, " in a hat": -2.0}
    score = scored(name, nats)
    assert score.value == 1.0
    assert dict(score.beside)["acc"] < 1.0


@pytest.mark.parametrize(
    ("name", "short", "long"), [("boolq", " no", " yes"), ("rte", " True", " False")]
)
def test_one_word_answers_are_normalised_too(scored, name, short, long):
    """The longer word has fewer nats, but more per character; it is right in BoolQ's first."""
    score = scored(name, {short: -4.0, long: -4.5})
    assert score.sums == {"boolq": (1.0, 0.0), "rte": (1.0,)}[name]
    assert dict(score.beside)["acc"] == {"boolq": 0.5, "rte": 0.0}[name]


ACCURACY = {
    "sciq": ({" cells": -8.0, " kings": -9.0, " ships": -9.0, " stones": -9.0}, (1.0,)),
    "arc_easy": ({" ice": -3.0, " stone": -3.5, " iron": -3.9}, (1.0,)),  # per character: iron
    "cb": ({" True": -4.0, " Neither": -5.0, " False": -9.0}, (1.0, 0.0)),  # per character: Neither
    "sst2": ({" positive": -2.0, " negative": -2.1}, (1.0, 0.0)),
    # The longer choice of COPA is likelier per character in both documents.
    "copa": (
        {
            "  he got a hole in his sock.": -9.0, "  he dropped a hammer on his foot.": -8.0,
            "  the crew swam.": -7.0, "  the sun rose.": -6.0,
        },
        (1.0, 0.0),
    ),
    "winogrande": (
        {
            ("Ann paid Bo because Ann", " had won the game."): -9.0,
            ("Ann paid Bo because Bo", " had won the game."): -8.0,
        },
        (1.0,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_is_that_of_the_likeliest(scored, name):
    nats, right = ACCURACY[name]
    assert scored(name, nats).sums == right


def test_winogrande_scores_what_follows_the_option(folders):
    lm = Written({})
    score_with(lm, paper_task("winogrande", folders / "winogrande", 0))
    assert lm.requests == [
        ("Ann paid Bo because Ann", " had won the game."),
        ("Ann paid Bo because Bo", " had won the game."),
    ]


PMI = {
    # log p(c|q), log p(c|"Answer:"), log p(c)      difference   ratio   against nothing
    " one": (-6.0, -11.0, -6.5),  #                       5.0     0.55               0.5
    " two": (-1.0, -1.1, -1.2),  #                        0.1     0.91               0.2
    " three": (-2.0, -5.0, -5.0),  #                      3.0     0.40               3.0
}


def test_pmi_dc_is_a_difference_against_the_domain_premise(scored):
    """The right one has the largest difference; no ratio, sign or other premise chooses it."""
    premises = ("Question: Which?\nAnswer:", "Answer:", "")
    nats = {
        (premise, choice): value
        for choice, values in PMI.items()
        for premise, value in zip(premises, values, strict=True)
    }
    score = scored("arc_challenge", nats)
    assert score.value == 1.0
    assert dict(score.beside) == {"acc_mutual_info": 0.0, "acc": 0.0}


def test_f1_counts_equivalent_as_positive(scored):
    """Right 1 1 1 0 0, given 1 1 0 1 0: 2·2/(2·2 + 1 + 1); for the other class it were 1/2."""
    prompt = (
        "Sentence 1: Ann wrote {n}.\nSentence 2: It was {n} that Ann wrote.\n"
        "Question: Do both sentences mean the same thing?\nAnswer:"
    )
    nats = {
        (prompt.format(n=n), " yes"): -1.0 if given else -3.0
        for n, given in enumerate((1, 1, 0, 1, 0))
    }
    score = scored("mrpc", nats | {" no": -2.0})
    assert score.value == pytest.approx(4 / 6)
    assert dict(score.beside)["acc"] == 3 / 5
    assert score.chance == pytest.approx(2 * 3 / (5 + 3)), "to answer 1 always"


@pytest.mark.parametrize("name", sorted(set(PAPER13) - {"mrpc"}))
def test_guessing_gives_one_in_so_many_choices(scored, name):
    choices = {"hellaswag": 4, "sciq": 4, "arc_easy": 3, "arc_challenge": 3, "cb": 3}
    assert scored(name, {}).chance == pytest.approx(1 / choices.get(name, 2))


def test_every_item_is_a_unit_of_its_own(scored):
    assert scored("sst2", {}).units == ("sst2 0", "sst2 1")
    assert scored("mrpc", {}).units == tuple(f"mrpc {n}" for n in range(5))


@pytest.mark.parametrize("name", sorted(PAPER13))
def test_a_document_of_the_original_dataset_can_be_used(name):
    for document in task_samples.SAMPLES[name]:
        check_document(name, document)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("boolq", {"label": 2}, "right answer is 2, of 2 choices"),
        ("boolq", {"label": -1}, "right answer is -1, of 2 choices"),
        ("piqa", {"sol2": ""}, "a text that is empty, or none: ''"),
        ("piqa", {"sol1": None}, "a text that is empty, or none: None"),
        ("openbookqa", {"question_stem": ""}, "a text that is empty"),
        ("openbookqa", {"answerKey": "E"}, "another form than the original"),
        ("winogrande", {"answer": "3"}, "right answer is 2, of 2 choices"),
        ("winogrande", {"sentence": "Ann paid _"}, "a text that is empty"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        check_document(name, task_samples.SAMPLES[name][0] | change)


def test_a_document_without_a_field_is_refused_by_its_name():
    document = dict(task_samples.SAMPLES["boolq"][0])
    del document["question"]
    with pytest.raises(ValueError, match="no field 'question'"):
        check_document("boolq", document)


def test_choices_of_a_dataset_s_own_sequence_are_a_list():
    choices = {"text": ("ice", "stone"), "label": ["A", "B"]}
    assert PAPER13["arc_easy"].choices({"choices": choices}) == ["ice", "stone"]
