"""Log-probabilities of continuations: those of one plain forward pass each."""

import pytest
import torch

from raydistill.evaluation.likelihood.continuations import (
    LOGITS_PER_CHUNK,
    Request,
    score_requests,
)
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from support.hub_models import VOCABULARY, save_model
from support.plain_scores import plain_score


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
    for request, scores in zip(requests, answers, strict=True):
        expected, greedy = plain_score(model, request.context, request.continuation)
        assert scores.log_probability == pytest.approx(expected, abs=1e-4)
        assert scores.greedy == greedy
    assert answers[-1].greedy


def test_choices_that_share_a_context_are_one_row(model):
    rows = []
    with model.watching_blocks(lambda layer, inputs, _: rows.append((layer, inputs.shape))):
        score_requests(model, [Request(context=(1, 2, 3), continuation=(n,)) for n in range(4)])
    assert rows[0] == (0, (1, 3, 16))


BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 6, "n_head": 4}


@pytest.mark.parametrize(("family", "sizes"), [("bloom", BLOOM), ("llama", {})])
def test_texts_share_a_row_where_a_mask_keeps_them_apart_and_nowhere_else(family, sizes, tmp_path):
    """BLOOM's ALiBi takes no such mask, nor positions."""
    folder = save_model(tmp_path / family, family, initializer_range=0.2, **sizes)
    decoder, rows = load_pretrained(read_checkpoint(str(folder), "main")), []
    assert decoder.mask_reach == (0 if family == "bloom" else 64)
    shared = tuple(range(3, 43))
    requests = [Request(context=shared, continuation=(n, n + 1, n + 2)) for n in (50, 60, 70)]
    with decoder.watching_blocks(lambda layer, inputs, _: rows.append(inputs.shape[0])):
        answers = score_requests(decoder, requests)
    assert sum(rows) // 6 == (3 if family == "bloom" else 1)  # of six blocks
    for request, scores in zip(requests, answers, strict=True):
        expected, _ = plain_score(decoder, request.context, request.continuation)
        assert scores.log_probability == pytest.approx(expected, abs=1e-4)


def test_logits_are_few_at_once_however_long_a_request_is(tmp_path):
    """Of scored positions alone, and in chunks: those of a large vocabulary fill a memory."""
    size = LOGITS_PER_CHUNK // VOCABULARY + 100
    folder = save_model(tmp_path, max_position_embeddings=size, num_hidden_layers=2)
    decoder, sizes = load_pretrained(read_checkpoint(str(folder), "main")), []
    decoder.inner.lm_head.register_forward_hook(lambda _m, _i, output: sizes.append(output.numel()))
    ids = tuple(n % VOCABULARY for n in range(size))
    score_requests(decoder, [Request(context=ids, continuation=(1,))])
    assert sizes[-1] == VOCABULARY
    sizes.clear()
    score_requests(decoder, [Request(context=(1,), continuation=ids)])
    assert sum(sizes) == size * VOCABULARY
    assert max(sizes) <= LOGITS_PER_CHUNK < sum(sizes)
