import random

import pytest
import torch

from raydistill.evaluation.likelihood import prefix_trees as trees
from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.evaluation.likelihood.prefix_trees import (
    MAX_TREE_TOKENS,
    MIN_SHARED_TOKENS,
    rows_of,
    shape_of,
    tokens_of,
)
from raydistill.models.decoder import build
from raydistill.specs.model import ModelConfig
from support.plain_scores import plain_score

CONFIG = ModelConfig(family="palm", num_layers=3, dim=32, num_heads=2, vocab_size=97, context=96)


@pytest.fixture(scope="module")
def model():
    """Far from uniform, so that an error of one position shows."""
    fresh = build(CONFIG, 0)
    with torch.no_grad():
        for p in fresh.parameters():
            p.mul_(2)
    return fresh


def ids(size, seed):
    draw = random.Random(seed)
    return tuple(draw.randrange(97) for _ in range(size))


def questions(contexts, choices, lengths):
    """Requests like those of a task: every context with all its choices."""
    return [
        Request(context=ids(size, context), continuation=ids(length, 100 * context + choice))
        for context, size in enumerate(contexts)
        for choice, length in zip(range(choices), lengths, strict=True)
    ]


@pytest.mark.parametrize("shared", [1, MIN_SHARED_TOKENS])
def test_a_tree_gives_what_plain_rows_give(model, monkeypatch, shared):
    monkeypatch.setattr(trees, "MIN_SHARED_TOKENS", shared)
    requests = questions((30, 60, 80, 3, 1, 95), 4, (1, 7, 12, 30))
    requests += [Request(context=ids(70, 1)[:n], continuation=ids(9, n)) for n in (40, 50, 60)]
    requests += [Request(context=(5,), continuation=ids(120, 3)), requests[2]]
    for request, scores in zip(requests, score_requests(model, requests), strict=True):
        nats, _ = plain_score(model, request.context, request.continuation)
        assert scores.log_probability == pytest.approx(nats, abs=1e-4, rel=1e-5)


def test_a_long_context_is_read_once(model):
    shapes = []
    requests = questions((60, 60), 4, (5, 6, 7, 8))
    with model.watching_blocks(lambda layer, x_BTD, _: shapes.append((layer, tuple(x_BTD.shape)))):
        score_requests(model, requests)
    assert shapes[0] == (0, (2, 60 + 4 + 5 + 6 + 7, 32)), (
        "what a continuation ends with is not read"
    )
    assert len(shapes) == CONFIG.num_layers


def test_a_short_context_is_read_again(model):
    shapes = []
    requests = questions((MIN_SHARED_TOKENS - 2,), 2, (5, 9))
    with model.watching_blocks(lambda layer, x_BTD, _: shapes.append((layer, tuple(x_BTD.shape)))):
        score_requests(model, requests)
    assert shapes[0] == (0, (2, MIN_SHARED_TOKENS - 2 + 8, 32))


def test_a_branch_sees_its_ancestors_and_nobody_else():
    stem = tuple(range(MIN_SHARED_TOKENS))
    (row,) = rows_of([(*stem, 50, 51), (*stem, 60), stem], 99)
    positions_BT, visible_BTT = shape_of([row])
    tokens = tokens_of([row])[0].tolist()
    assert tokens == [*stem, 60, 50, 51]
    assert positions_BT[0].tolist() == [
        *range(MIN_SHARED_TOKENS),
        MIN_SHARED_TOKENS,
        MIN_SHARED_TOKENS,
        MIN_SHARED_TOKENS + 1,
    ]
    seen = [[tokens[s] for s in range(row.size) if visible_BTT[0, t, s]] for t in range(row.size)]
    assert seen[MIN_SHARED_TOKENS] == [*stem, 60]
    assert seen[MIN_SHARED_TOKENS + 2] == [*stem, 50, 51]
    assert [row.positions[2][-1], row.positions[0][-1], row.positions[1][-1]] == [
        MIN_SHARED_TOKENS - 1, MIN_SHARED_TOKENS + 2, MIN_SHARED_TOKENS,
    ]  # fmt: skip


def test_every_input_stands_in_one_row_token_for_token():
    inputs = [r.context + r.continuation for r in questions((40, 25, 2, 300), 5, (1, 2, 30, 4, 9))]
    inputs += [ids(500, 9) + ids(n, n) for n in range(1, 60)]
    rows = rows_of(inputs, 999)
    flat = tokens_of(rows).tolist()
    placed = {i: [flat[p][at] for at in places] for p, row in enumerate(rows)
              for i, places in row.positions.items()}  # fmt: skip
    assert placed == {i: list(tokens) for i, tokens in enumerate(inputs)}
    assert all(row.size <= MAX_TREE_TOKENS for row in rows)
    assert sum(row.size for row in rows) < sum(map(len, inputs)) / 3


def test_a_mask_stands_for_no_more_than_it_reaches():
    stem = tuple(range(MIN_SHARED_TOKENS))
    assert len(rows_of([(*stem, 50), (*stem, 60)], MIN_SHARED_TOKENS + 1)) == 1
    assert len(rows_of([(*stem, 50), (*stem, 60)], MIN_SHARED_TOKENS)) == 2
    assert len(rows_of([(*stem, 50, 51), (*stem, 60)], MIN_SHARED_TOKENS + 1)) == 2


def test_generation_is_greedy_and_ends_where_it_is_told(model):
    tokens_BT = torch.tensor([ids(6, 1), ids(6, 2)])
    new = model.generate(tokens_BT, 5, lambda _: False)
    for start, row in zip(tokens_BT.tolist(), new, strict=True):
        for at, token in enumerate(row):
            likeliest = model(torch.tensor([start + row[:at]]))[0, -1].argmax().item()
            assert token == likeliest
    short = model.generate(tokens_BT, 5, lambda row: row == new[0][:2])
    assert short == [new[0][:2], new[1]]
