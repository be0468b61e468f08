"""Log-probabilities of continuations, many at a time.

Shapes: B rows, T positions, D model width, N positions that the head reads, M scored tokens,
V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raydistill.evaluation.likelihood.prefix_trees import Row, rows_of, shape_of, tokens_of
from raydistill.models.decoder import Decoder

TOKENS_PER_BATCH = 4096

CPU_TOKENS_PER_BATCH = 1024
"""Of requests on a CPU: a tenth faster than 4,096, which leave its caches."""

LOGITS = 2**24
"""Made at once, so that neither memory nor caches overflow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """How likely is `continuation` after `context`? Neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestScores:
    """Nats of the whole continuation, and whether each of its tokens was the likeliest."""

    log_probability: float
    greedy: bool


@torch.inference_mode()
def score_requests(model: Decoder, requests: Sequence[Request]) -> list[RequestScores]:
    """One answer per request, in order.

    What inputs share at their beginning is read once where that pays (`trees.py`): a context
    with all its choices is one row, and four one-token choices cost nothing beyond it. Rows are
    batched by length, and the head sees only scored positions. What is too long for the model
    loses its beginning.
    """
    inputs = [_input(request, model.config.context) for request in requests]
    answers: dict[int, RequestScores] = {}
    with model.evaluating():
        for batch in _batches(rows_of(inputs, model.mask_reach), _tokens_per_batch(model)):
            answers.update(_answer_batch(model, batch, requests))
    return [answers[i] for i in range(len(requests))]


def _input(request: Request, longest: int) -> tuple[int, ...]:
    assert request.context, request
    assert request.continuation, request
    return (request.context + request.continuation)[:-1][-longest:]


def _tokens_per_batch(model: Decoder) -> int:
    on_cpu = next(model.parameters()).device.type == "cpu"
    return CPU_TOKENS_PER_BATCH if on_cpu else TOKENS_PER_BATCH


def _batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows of about one length, those of one branch by themselves: they need no mask."""
    for is_tree in (True, False):
        kind = [row for row in rows if (len(row.branches) > 1) == is_tree]
        kind.sort(key=lambda row: row.size, reverse=True)
        batch: list[Row] = []
        for row in kind:
            if batch and (len(batch) + 1) * batch[0].size > tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch


def _answer_batch(
    model: Decoder, rows: Sequence[Row], requests: Sequence[Request]
) -> dict[int, RequestScores]:
    device = next(model.parameters()).device
    asked = [(place, i) for place, row in enumerate(rows) for i in row.places]
    # The last token of a continuation is no input, so the places before all of it score it.
    scored = [rows[place].places[i][-len(requests[i].continuation) :] for place, i in asked]
    heard = sorted({(p, at) for (p, _), places in zip(asked, scored, strict=True) for at in places})
    number = {where: n for n, where in enumerate(heard)}
    heard_M = [number[p, at] for (p, _), places in zip(asked, scored, strict=True) for at in places]
    target_M = [
        token
        for (_, i), places in zip(asked, scored, strict=True)
        for token in requests[i].continuation[-len(places) :]
    ]
    hidden_BTD = model.hidden(tokens_of(rows).to(device), *_shape(rows, device))
    hidden_ND = hidden_BTD[[p for p, _ in heard], [at for _, at in heard]]
    nats_M, likeliest_M = _score(model, hidden_ND, torch.tensor(heard_M), torch.tensor(target_M))
    sizes = [len(places) for places in scored]
    return {
        i: RequestScores(log_probability=float(nats.sum()), greedy=bool(likeliest.all()))
        for (_, i), nats, likeliest in zip(
            asked, nats_M.split(sizes), likeliest_M.split(sizes), strict=True
        )
    }


def _shape(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, ...]:
    """Positions and mask of trees; nothing for causal text."""
    if all(len(row.branches) == 1 for row in rows):
        return ()
    return tuple(part.to(device) for part in shape_of(rows))


def _score(
    model: Decoder, hidden_ND: Tensor, heard_M: Tensor, target_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Nats of each target at the position that `heard_M` numbers, and whether it is likeliest."""
    device = hidden_ND.device
    heard_M, target_M = heard_M.to(device), target_M.to(device)
    nats_M = torch.zeros(len(target_M), dtype=torch.float64, device=device)
    likeliest_M = torch.zeros(len(target_M), dtype=torch.bool, device=device)
    size = max(1, LOGITS // model.config.vocab_size)
    for start in range(0, len(hidden_ND), size):
        logits_NV = model.head(hidden_ND[start : start + size]).float()
        inside_M = (heard_M >= start) & (heard_M < start + size)
        at, target = heard_M[inside_M] - start, target_M[inside_M]
        log_totals_N = logits_NV.logsumexp(dim=-1)
        nats_M[inside_M] = (logits_NV[at, target] - log_totals_N[at]).double()
        likeliest_M[inside_M] = logits_NV.argmax(dim=-1)[at] == target
    return nats_M.cpu(), likeliest_M.cpu()
