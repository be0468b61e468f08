"""Log-probabilities of continuations, many at a time.

Shapes: B rows, T positions, D model width, N scored tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from raydistill.models import Decoder

TOKENS_PER_BATCH = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """How likely is `continuation` after `context`? Neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Nats of the whole continuation, and whether each of its tokens was the likeliest."""

    log_probability: float
    greedy: bool


@dataclass(kw_only=True, slots=True)
class _Row:
    """One input, and the requests (by number) that are read off it."""

    tokens: tuple[int, ...]
    requests: list[int] = field(default_factory=list)


@torch.inference_mode()
def answer(model: Decoder, requests: Sequence[Request]) -> list[Answer]:
    """One answer per request, in order.

    An input that begins another one is not run again (the model is causal): four one-token
    choices cost one row. Rows are batched by length, and the head sees only scored positions.
    A context too long for the model loses its beginning.
    """
    was_training = model.training
    model.eval()
    inputs = [_input(request, model.config.context) for request in requests]
    answers: dict[int, Answer] = {}
    for batch in _batches(_rows(inputs)):
        answers.update(_answer_batch(model, batch, inputs, requests))
    model.train(was_training)
    return [answers[i] for i in range(len(requests))]


def _input(request: Request, longest: int) -> tuple[int, ...]:
    return (request.context + request.continuation)[:-1][-longest:]


def _rows(inputs: Sequence[tuple[int, ...]]) -> list[_Row]:
    """The inputs that no other one begins with, longest first."""
    rows: list[_Row] = []
    for i in sorted(range(len(inputs)), key=lambda i: inputs[i], reverse=True):
        # what begins with an input stands right before it in this order
        if not rows or rows[-1].tokens[: len(inputs[i])] != inputs[i]:
            rows.append(_Row(tokens=inputs[i]))
        rows[-1].requests.append(i)
    return sorted(rows, key=lambda row: len(row.tokens), reverse=True)


def _batches(rows: Sequence[_Row]) -> list[list[_Row]]:
    batches: list[list[_Row]] = []
    for row in rows:
        if not batches or (len(batches[-1]) + 1) * len(batches[-1][0].tokens) > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(row)
    return batches


def _answer_batch(
    model: Decoder,
    batch: Sequence[_Row],
    inputs: Sequence[tuple[int, ...]],
    requests: Sequence[Request],
) -> dict[int, Answer]:
    device = next(model.parameters()).device
    longest = len(batch[0].tokens)
    tokens_BT = torch.tensor([row.tokens + (0,) * (longest - len(row.tokens)) for row in batch])
    asked = [(number, i) for number, row in enumerate(batch) for i in row.requests]
    sizes = [len(requests[i].continuation) for _, i in asked]
    row_N = [number for (number, _), size in zip(asked, sizes, strict=True) for _ in range(size)]
    position_N = [
        position
        for (_, i), size in zip(asked, sizes, strict=True)
        for position in range(len(inputs[i]) - size, len(inputs[i]))
    ]
    target_N = torch.tensor([t for _, i in asked for t in requests[i].continuation], device=device)
    hidden_ND = model.hidden(tokens_BT.to(device))[row_N, position_N]
    logits_NV = model.head(hidden_ND).float()
    nats_N = -torch.nn.functional.cross_entropy(logits_NV, target_N, reduction="none").double()
    likeliest_N = logits_NV.argmax(dim=-1) == target_N
    return {
        i: Answer(log_probability=float(nats.sum()), greedy=bool(likeliest.all()))
        for (_, i), nats, likeliest in zip(
            asked, nats_N.cpu().split(sizes), likeliest_N.cpu().split(sizes), strict=True
        )
    }
