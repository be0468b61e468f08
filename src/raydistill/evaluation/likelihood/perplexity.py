"""Held-out perplexity in non-overlapping windows.

Where a tokenizer begins texts with a token, every window begins with it, also one from the middle
of a document, and it is never a target (docs/method.md, 6): such a model breaks without it.

Shapes: B windows, T positions, V vocabulary.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.core.progress import tracked
from raydistill.data.corpus.heldout_documents import (
    Span,
    TokenIds,
    read_info,
    read_spans,
    read_tokens,
)
from raydistill.evaluation.likelihood.continuations import TOKENS_PER_BATCH
from raydistill.models.decoder import Decoder
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.results import UnitScores

NO_TARGET = -100


def heldout_nll(model: Decoder, folder: Path, *, windows: int, context: int) -> UnitScores:
    """Nats and target tokens of each held-out unit.

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
    chosen = _evenly_spaced(_windows(folder, context, begin), windows)
    nats: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    tokens = read_tokens(folder)
    per_batch = max(1, TOKENS_PER_BATCH // context)
    device = next(model.parameters()).device
    batches = [chosen[i : i + per_batch] for i in range(0, len(chosen), per_batch)]
    for batch in tracked(batches, "perplexity", "tokens", size=_num_tokens):
        rows = [tokens[window.start : window.end] for window in batch]
        inputs_BT, targets_BT = _padded(rows, begin)
        nats_B = window_nats(model, inputs_BT.to(device), targets_BT.to(device))
        for window, value in zip(batch, nats_B.tolist(), strict=True):
            nats[window.unit] += value
            targets[window.unit] += window.end - window.start - (not begin)
    return UnitScores(
        units=tuple(nats),
        sums=tuple(float(value) for value in nats.values()),
        counts=tuple(targets[unit] for unit in nats),
    )


def curve_nll(folder: Path, spec: EvalSpec) -> Callable[[Decoder], float]:
    """Nats per held-out token of a model, on the few windows that a curve is measured on."""

    def nll(model: Decoder) -> float:
        context = model.config.context
        return heldout_nll(model, folder, windows=spec.curve_windows, context=context).value

    return nll


@torch.inference_mode()
def window_nats(model: Decoder, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """The sum of nats over each window's targets, float64 [B]; targets of -100 do not count."""
    was_training = model.training
    model.eval()
    logits_BTV = model(inputs_BT).float()
    model.train(was_training)
    nats_BT = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=NO_TARGET, reduction="none"
    ).view_as(targets_BT)
    return nats_BT.double().sum(dim=1)


def _windows(folder: Path, context: int, begin: Sequence[int]) -> list[Span]:
    """Every window of a document, without what it begins with.

    Neighbours share one token, a target then an input, unless all begin with `begin`.
    """
    shared = not begin
    targets = context + 1 - max(1, len(begin))
    return [
        replace(document, start=start, end=min(start + targets + shared, document.end))
        for document in read_spans(folder)
        for start in range(document.start, document.end - shared, targets)
    ]


def _evenly_spaced(windows: Sequence[Span], most: int) -> list[Span]:
    if not windows:
        raise DataError("the corpus has no held-out text to measure perplexity on")
    size = min(most, len(windows))
    return [windows[i * len(windows) // size] for i in range(size)]


def _num_tokens(windows: Sequence[Span]) -> int:
    return sum(window.end - window.start for window in windows)


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
