"""Labels that are none are refused by file and line, whatever task of lm-eval's they are of."""

import json

import pytest

from raydistill.core.errors import DataError
from raydistill.evaluation.lm_harness.answers import check_answer, check_stated_answer
from raydistill.evaluation.lm_harness.file_tasks import lm_eval_task
from raydistill.evaluation.lm_harness.task_data import ITEMS, with_sources
from raydistill.specs.evaluation import EvalSpec
from raydistill.storage.store import Store

ENDINGS = {f"ending{number}": f"It stopped at mill {number}." for number in range(4)}
SWAG = {"startphrase": "A boat went down the river.", **ENDINGS}
ARC = {"question": "What is wet?", "choices": {"text": ["sand", "rain"], "label": ["A", "B"]}}


def checked(task, document, tmp_path):
    file = tmp_path / f"{task}.jsonl"
    file.write_text(json.dumps(document) + "\n")
    spec = EvalSpec(tasks=(task,), heldout_windows=0, curve_windows=0)
    return with_sources(spec, tmp_path, Store(tmp_path / "storage"))


@pytest.mark.parametrize("label", [-1, "", None, 9, [], [0, 4], 1.5])
def test_a_label_that_is_no_choice_is_refused_before_training(tmp_path, label):
    with pytest.raises(DataError, match=r"swag\.jsonl:1: the right answer is .*, of 4 choices"):
        checked("swag", SWAG | {"label": label}, tmp_path)


def test_labels_of_choices_are_taken(tmp_path):
    for label in (0, 2, 3):
        assert checked("swag", SWAG | {"label": label}, tmp_path).sources


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (ARC | {"answerKey": "C"}, "not in list"),
        (ARC, "a field that arc_easy needs is missing: 'answerKey' is undefined"),
        (ARC | {"choices": None, "answerKey": "A"}, "is missing"),
    ],
)
def test_an_answer_that_a_template_computes_is_checked(document, message):
    check_stated_answer("arc_easy", ARC | {"answerKey": "B"})
    with pytest.raises(ValueError, match=message):
        check_stated_answer("arc_easy", document)


def test_an_answer_may_be_the_text_of_a_choice():
    check_answer("rain", ["sand", "rain"])
    check_answer(["rain", 0], ["sand", "rain"])
    with pytest.raises(ValueError, match="the right answer is 'snow', of 2 choices"):
        check_answer("snow", ["sand", "rain"])


def test_answers_are_checked_once_more_as_the_task_itself_has_them(tmp_path):
    """A task may compute them by code, which no plan runs."""
    rows = [SWAG | {"label": label} for label in (1, 7)]
    (tmp_path / ITEMS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = lm_eval_task("swag", tmp_path, 0)
    with pytest.raises(DataError, match="task 'swag', document 2: the right answer is 7, of 4 ch"):
        task.build_all_requests()
