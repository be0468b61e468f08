"""Held-out perplexity of hidden tokens: what a masked language model is measured by.

In the windows of `perplexity.py`; of each, exactly the share that training hides of what the model
reads. Which tokens is a function of the window alone. They are told from both sides, so it is no
perplexity of the text, and never named so.

Shapes: B windows, T positions, M hidden ones.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from raydistill.core.progress import tracked
from raydistill.data.corpus.heldout_documents import Span, TokenIds, read_info, read_tokens
from raydistill.data.heldout_windows import heldout_windows, num_tokens
from raydistill.data.masking import heldout_places, num_targets
from raydistill.evaluation.likelihood.continuations import TOKENS_PER_BATCH
from raydistill.evaluation.likelihood.perplexity import window_nats
from raydistill.models.decoder import Decoder
from raydistill.specs.evaluation import MASKED_PERPLEXITY
from raydistill.specs.results import UnitScores


def masked_nll(
    model: Decoder, folder: Path, *, windows: int, context: int, share: float
) -> UnitScores:
    """Nats and hidden tokens of each held-out unit.

    Args:
        model: scored as it is, in evaluation mode.
        folder: the corpus.
        windows: as of `heldout_nll`, which has the same ones.
        context: tokens that the model reads of a window.
        share: of these, how many are hidden, above 0 to 1. A last window of a document that is so
            short that none is has no part.

    Raises:
        DataError: if the corpus has no held-out text.
    """
    info, tokens = read_info(folder), read_tokens(folder)
    begin = np.array(info.begin_ids, dtype=np.int64)
    chosen = heldout_windows(folder, windows=windows, context=context)
    device = next(model.parameters()).device
    nats: dict[Span, float] = {}
    batches = list(_batches(chosen, context, len(begin)))
    for batch in tracked(batches, MASKED_PERPLEXITY, "tokens", size=num_tokens):
        inputs_BT = np.stack([_read(tokens, window, begin, context) for window in batch])
        texts_BT = inputs_BT[:, len(begin) :]
        if not num_targets(texts_BT.shape[1], share):
            continue
        at_BM = len(begin) + np.stack(
            [
                heldout_places(text, window.start, share, info.end_of_text_id)
                for text, window in zip(texts_BT, batch, strict=True)
            ]
        )
        targets_BM = np.take_along_axis(inputs_BT, at_BM, axis=1)
        np.put_along_axis(inputs_BT, at_BM, info.end_of_text_id, axis=1)
        seen = (torch.from_numpy(ids).to(device) for ids in (inputs_BT, targets_BM, at_BM))
        nats |= zip(batch, window_nats(model, *seen).tolist(), strict=True)
    sums: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for window in filter(nats.__contains__, chosen):
        sums[window.unit] += nats[window]  # type: ignore[assignment]
        text = min(window.end - window.start, context - len(begin))
        counts[window.unit] += num_targets(text, share)
    return UnitScores(
        units=tuple(sums),
        sums=tuple(float(value) for value in sums.values()),
        counts=tuple(counts[unit] for unit in sums),
    )


def _read(tokens: TokenIds, window: Span, begin: TokenIds, context: int) -> TokenIds:
    """What the model reads of a window: its last token is a target of perplexity alone."""
    return np.concatenate([begin, tokens[window.start : window.end]])[:context]


def _batches(windows: Sequence[Span], context: int, begins: int) -> Iterator[list[Span]]:
    """Windows of one length each: one that is padded would be read with its padding."""
    by_length: defaultdict[int, list[Span]] = defaultdict(list)
    for window in windows:
        by_length[min(window.end - window.start, context - begins)].append(window)
    per_batch = max(1, TOKENS_PER_BATCH // context)
    for alike in by_length.values():
        for first in range(0, len(alike), per_batch):
            yield alike[first : first + per_batch]
