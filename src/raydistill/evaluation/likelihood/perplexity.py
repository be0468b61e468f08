"""Held-out perplexity in non-overlapping windows (`data/heldout_windows.py`).

Shapes: B windows, T positions, M of them with logits, V vocabulary.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raydistill.core.progress import tracked
from raydistill.data.corpus.heldout_documents import (
    Marks,
    TokenIds,
    read_info,
    read_marks,
    read_tokens,
)
from raydistill.data.heldout_windows import heldout_windows, num_tokens
from raydistill.evaluation.likelihood.continuations import TOKENS_PER_BATCH
from raydistill.models.decoder import Decoder
from raydistill.specs.evaluation import PERPLEXITY
from raydistill.specs.results import UnitScores

NO_TARGET = -100


def heldout_nll(model: Decoder, folder: Path, *, windows: int, context: int) -> UnitScores:
    """Nats and target tokens of each held-out unit; of conversations what the assistant says.

    Args:
        model: scored as it is, in evaluation mode.
        folder: the corpus.
        windows: how many windows are scored, spread evenly over all held-out documents; all
            of them where there are no more.
        context: tokens that the model reads of a window, which has as many targets; a document's
            last one may have fewer.

    Raises:
        DataError: if the corpus has no held-out text.
    """
    begin = read_info(folder).begin_ids
    chosen = heldout_windows(folder, windows=windows, context=context)
    nats: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    tokens, marks = read_tokens(folder), read_marks(folder)
    per_batch = max(1, TOKENS_PER_BATCH // context)
    device = next(model.parameters()).device
    batches = [chosen[i : i + per_batch] for i in range(0, len(chosen), per_batch)]
    for batch in tracked(batches, PERPLEXITY, "tokens", size=num_tokens):
        rows = [tokens[window.start : window.end] for window in batch]
        inputs_BT, targets_BT = _padded(rows, begin)
        if marks is not None:
            learned = [marks[window.start : window.end] for window in batch]
            targets_BT[~_padded_marks(learned, len(begin), targets_BT.shape[1])] = NO_TARGET
        nats_B = window_nats(model, inputs_BT.to(device), targets_BT.to(device))
        for window, value in zip(batch, nats_B.tolist(), strict=True):
            nats[window.unit] += value
            first = window.start + (not begin)
            own = window.end - first if marks is None else int(marks[first : window.end].sum())
            targets[window.unit] += own
    return UnitScores(
        units=tuple(nats),
        sums=tuple(float(value) for value in nats.values()),
        counts=tuple(targets[unit] for unit in nats),
    )


@torch.no_grad()  # in inference mode a sharded model would keep weights that cannot learn
def window_nats(
    model: Decoder, inputs_BT: Tensor, targets_BM: Tensor, at_BM: Tensor | None = None
) -> Tensor:
    """The sum of nats over each window's targets, float64 [B]; targets of -100 do not count.

    Args:
        model: scored in evaluation mode.
        inputs_BT: int64.
        targets_BM: int64, told at the positions `at_BM`, or each at its own.
        at_BM: int64 in [0, T).
    """
    was_training = model.training
    model.eval()
    logits_BMV = model(inputs_BT, at_BM).float()
    model.train(was_training)
    nats_BM = torch.nn.functional.cross_entropy(
        logits_BMV.flatten(0, 1), targets_BM.flatten(), ignore_index=NO_TARGET, reduction="none"
    ).view_as(targets_BM)
    return nats_BM.double().sum(dim=1)


def _padded(texts: Sequence[TokenIds], begin: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inputs and targets [B, T] of windows; padding is no target, nor is what they begin with."""
    rows = [np.concatenate([np.array(begin, dtype=np.int64), text]) for text in texts]
    longest = max(len(row) for row in rows) - 1
    inputs_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    targets_BT = torch.full((len(rows), longest), NO_TARGET)
    for i, row in enumerate(rows):
        inputs_BT[i, : len(row) - 1] = torch.from_numpy(row[:-1])
        targets_BT[i, : len(row) - 1] = torch.from_numpy(row[1:])
    targets_BT[:, : max(0, len(begin) - 1)] = NO_TARGET
    return inputs_BT, targets_BT


def _padded_marks(rows: Sequence[Marks], begins: int, length: int) -> Tensor:
    """Which targets [B, T] of windows are learned."""
    learned_BT = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        marks = torch.from_numpy(row) if begins else torch.from_numpy(row[1:])
        first = max(0, begins - 1)
        learned_BT[i, first : first + len(marks)] = marks
    return learned_BT
