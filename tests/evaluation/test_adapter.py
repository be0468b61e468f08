"""Our scoring beside lm-eval's own `HFLM`: the same weights, tokenizer and requests, in float32."""

import random

import pytest
from lm_eval.api.instance import Instance

from raydistill.data.tokenizer import END_OF_TEXT, load_tokenizer
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from support.hub_models import save_model

WORDS = ("go", "in", "peace", "unto", "the", "LORD", "thy", "servant", "is", "with", "thee")


def text(draw, longest):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, longest)))


def loglikelihood_requests():
    """Contexts of many lengths, some longer than the model's; one to five choices each."""
    draw = random.Random(0)
    pairs = [
        (context, f" {text(draw, 8)}")
        for context in ["", *(text(draw, longest) for longest in (1, 5, 12, 25, 40, 90) * 3)]
        for _ in range(draw.randint(1, 5))
    ]
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index)
        for index, pair in enumerate(pairs)
    ]


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_log_likelihoods_and_decisions_are_those_of_hflm(family, tmp_path):
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, requests = save_model(tmp_path, family), loglikelihood_requests()
    decoder = load_pretrained(read_checkpoint(str(folder), "main")).eval()
    tokenizer = load_tokenizer(folder)
    ours = DecoderLM(decoder, tokenizer, tokenizer.token_to_id(END_OF_TEXT))
    stock = AutoModelForCausalLM.from_pretrained(folder)
    theirs = HFLM(pretrained=stock, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=8)
    results = ours.loglikelihood(requests)
    expected = theirs.loglikelihood(requests, disable_tqdm=True)
    assert len(results) > 40
    for (log_likelihood, greedy), (other, other_greedy) in zip(results, expected, strict=True):
        assert log_likelihood == pytest.approx(other, abs=1e-3)
        assert greedy == other_greedy
