"""Log-probabilities of continuations, many at a time.

Shapes: B rows, T positions, D model width, N positions that the head reads, M target tokens,
V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raydistill.core.progress import tracked
from raydistill.evaluation.likelihood.prefix_trees import Row, rows_of, shape_of, tokens_of
from raydistill.models.decoder import Decoder

TOKENS_PER_BATCH = 4096
CPU_TOKENS_PER_BATCH = 1024  # a tenth faster there than 4,096, which leave its caches
LOGITS_PER_CHUNK = 2**24  # so that neither memory nor caches overflow


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Asks how likely `continuation` is after `context`; neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestScores:
    """Nats of the whole continuation, and whether each of its tokens was the likeliest."""

    log_probability: float
    greedy: bool


@torch.inference_mode()
def score_requests(
    model: Decoder, requests: Sequence[Request], max_length: int | None = None
) -> list[RequestScores]:
    """The scores of each request, in order.

    A shared prefix is read once where that pays (`prefix_trees.py`): a context with all its
    choices is one row, and four one-token choices cost nothing beyond it. Rows are batched by
    length, and the head sees only scored positions. Requests of which more than `max_length`
    tokens would be read, by default more than the model can, lose their beginning.
    """
    longest = max_length or model.config.max_length
    inputs = [_input(request, longest) for request in requests]
    on_cpu = next(model.parameters()).device.type == "cpu"
    tokens = CPU_TOKENS_PER_BATCH if on_cpu else TOKENS_PER_BATCH
    scores: dict[int, RequestScores] = {}
    with model.evaluating():
        batches = list(_batches(rows_of(inputs, model.mask_reach), tokens))
        for batch in tracked(batches, "", "tokens", size=_num_tokens):
            scores.update(_score_batch(model, batch, requests))
    return [scores[i] for i in range(len(requests))]


def _input(request: Request, max_length: int) -> tuple[int, ...]:
    assert request.context, request
    assert request.continuation, request
    return (request.context + request.continuation)[:-1][-max_length:]


def _batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows of about one length, those of one branch by themselves: they need no mask."""
    by_length = sorted(rows, key=lambda row: row.size, reverse=True)
    for is_tree in (True, False):
        batch: list[Row] = []
        for row in by_length:
            if (len(row.branches) > 1) != is_tree:
                continue
            if batch and (len(batch) + 1) * batch[0].size > tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch


def _num_tokens(rows: Sequence[Row]) -> int:
    return sum(row.size for row in rows)


def _score_batch(
    model: Decoder, rows: Sequence[Row], requests: Sequence[Request]
) -> dict[int, RequestScores]:
    device = next(model.parameters()).device
    # The last token of a continuation is no input, so it is scored from the positions before it.
    scored_positions = {
        i: [(b, t) for t in positions[-len(requests[i].continuation) :]]
        for b, row in enumerate(rows)
        for i, positions in row.positions.items()
    }
    head_positions = sorted({bt for positions in scored_positions.values() for bt in positions})
    index = {position: n for n, position in enumerate(head_positions)}
    head_M = [index[bt] for positions in scored_positions.values() for bt in positions]
    target_M = [
        token
        for i, positions in scored_positions.items()
        for token in requests[i].continuation[-len(positions) :]
    ]
    hidden_BTD = model.hidden(tokens_of(rows).to(device), *_shape(rows, device))
    hidden_ND = hidden_BTD[[b for b, _ in head_positions], [t for _, t in head_positions]]
    nats_M, likeliest_M = _score(model, hidden_ND, torch.tensor(head_M), torch.tensor(target_M))
    sizes = [len(positions) for positions in scored_positions.values()]
    per_request = zip(scored_positions, nats_M.split(sizes), likeliest_M.split(sizes), strict=True)
    return {
        i: RequestScores(log_probability=float(nats.sum()), greedy=bool(likeliest.all()))
        for i, nats, likeliest in per_request
    }


def _shape(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, ...]:
    """Positions and mask of trees; nothing for causal text."""
    if all(len(row.branches) == 1 for row in rows):
        return ()
    return tuple(part.to(device) for part in shape_of(rows))


def _score(
    model: Decoder, hidden_ND: Tensor, head_M: Tensor, target_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Nats of each target at index `head_M` of N, and whether it is the likeliest token."""
    device = hidden_ND.device
    head_M, target_M = head_M.to(device), target_M.to(device)
    nats_M = torch.zeros(len(target_M), dtype=torch.float64, device=device)
    likeliest_M = torch.zeros(len(target_M), dtype=torch.bool, device=device)
    size = max(1, LOGITS_PER_CHUNK // model.config.vocab_size)
    for start in range(0, len(hidden_ND), size):
        logits_NV = model.head(hidden_ND[start : start + size]).float()
        in_chunk_M = (head_M >= start) & (head_M < start + size)
        n, target = head_M[in_chunk_M] - start, target_M[in_chunk_M]
        log_totals_N = logits_NV.logsumexp(dim=-1)
        nats_M[in_chunk_M] = (logits_NV[n, target] - log_totals_N[n]).double()
        likeliest_M[in_chunk_M] = logits_NV.argmax(dim=-1)[n] == target
    return nats_M.cpu(), likeliest_M.cpu()
