"""The loss of a model that knows how frequent each token is, and nothing else."""

from pathlib import Path

import numpy as np

from raydistill.data.corpus.heldout_documents import read_info, read_tokens
from raydistill.data.heldout_windows import heldout_windows
from raydistill.data.masking import IntArray, heldout_places


def unigram_nats(folder: Path, *, windows: int, context: int, share: float = 0.0) -> float:
    """Nats per held-out target, each told by its frequency in the training text.

    Every entry of the vocabulary counts once more than it comes, so that none has probability 0.

    Args:
        folder: the corpus.
        windows: held-out ones, as of the loss that it is compared with.
        context: tokens that a model reads of a window.
        share: of these, how many are hidden and are the targets; 0: the targets are those of
            perplexity, all that follow.

    Raises:
        DataError: if the corpus has no held-out text, or other tokens than it says.
    """
    log_p = np.log(frequencies(folder, masked=share > 0))
    return -float(log_p[heldout_targets(folder, windows, context, share)].mean())


def frequencies(folder: Path, *, masked: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The share of each entry of the vocabulary among training targets, [V].

    Args:
        folder: the corpus.
        masked: without end-of-text, which is not hidden.

    Raises:
        DataError: if the corpus has another number of tokens than it says.
    """
    info = read_info(folder)
    info.check_size(folder / "train.bin", info.train_tokens)
    tokens = np.memmap(folder / "train.bin", dtype=f"<u{info.token_bytes}", mode="r")
    counts = np.bincount(tokens, minlength=info.vocab_size).astype(np.float64)
    if masked:
        counts[info.end_of_text_id] = 0
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = (counts + 1) / (counts + 1).sum()
    return shares


def heldout_targets(folder: Path, windows: int, context: int, share: float) -> IntArray:
    """The ids of all targets in some held-out windows; the arguments are `unigram_nats`'."""
    info, tokens = read_info(folder), read_tokens(folder)
    begins = len(info.begin_ids)
    texts = []
    for window in heldout_windows(folder, windows=windows, context=context):
        text = tokens[window.start : window.end]
        if share:
            text = text[: context - begins]
            places = heldout_places(text, window.start, share, info.end_of_text_id)
            texts.append(text[places])
        else:
            texts.append(text if begins else text[1:])
    return np.concatenate(texts)
