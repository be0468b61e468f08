"""Zero-shot tasks through lm-eval: the likeliest choice wins."""

import json

import pytest

from raydistill.data.sources import embedded
from raydistill.data.tokenizer import load_tokenizer
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.evaluation.lm_harness.zeroshot import score_tasks
from raydistill.models.decoder import build
from raydistill.planning.custom_model import OWN_TASKS
from support.plain_scores import plain_score


@pytest.mark.parametrize("name", OWN_TASKS)
def test_a_task_is_won_by_the_likeliest_choice(folder, items, model, name):
    lm = DecoderLM(model, load_tokenizer(folder / "tokenizer.json"), 0)
    right = []
    for item in map(json.loads, items[name].read_text().splitlines()):
        scores = [
            plain_score(model, *lm._encode_pair(item["context"], f" {choice}"))[0]
            / (len(choice) if name == "continuation" else 1)
            for choice in item["choices"]
        ]
        right.append(scores.index(max(scores)) == item["answer"])
    scored = score_tasks(model, folder, {name: items[name]})[name]
    assert sum(scored.sums) == sum(right)
    assert sum(scored.counts) == len(right)
    assert set(scored.units) <= set(embedded.heldout_units())


def test_two_models_in_one_process_do_not_share_answers(folder, items, model):
    other = build(model.config, 7)
    first = score_tasks(model, folder, items)
    assert score_tasks(other, folder, items) != first
    assert score_tasks(model, folder, items) == first


def test_scoring_says_nothing(folder, items, model, capfd):
    score_tasks(model, folder, items)
    assert capfd.readouterr() == ("", "")
