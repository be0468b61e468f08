"""The windows of held-out text that a loss is measured in. Without torch.

Where a tokenizer begins texts with a token, every window begins with it, also one from the middle
of a document, and it is never a target (docs/method.md, 6): such a model breaks without it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.data.corpus.heldout_documents import Span, read_info, read_marks, read_spans


def heldout_windows(folder: Path, *, windows: int, context: int) -> list[Span]:
    """Windows without what they begin with, spread evenly over all held-out documents.

    Neighbours share one token, a target then an input, unless all begin with a token of their own.
    Of conversations only windows with a target count: a token that the assistant says.

    Args:
        folder: the corpus.
        windows: how many; all of them where there are no more.
        context: tokens that a model reads of a window, which has as many targets; a document's
            last one may have fewer.

    Raises:
        DataError: if the corpus has no held-out text.
    """
    begin = read_info(folder).begin_ids
    shared = not begin
    targets = context + 1 - max(1, len(begin))
    every = [
        replace(document, start=start, end=min(start + targets + shared, document.end))
        for document in read_spans(folder)
        for start in range(document.start, document.end - shared, targets)
    ]
    if (marks := read_marks(folder)) is not None:
        every = [window for window in every if marks[window.start + shared : window.end].any()]
    if not every:
        raise DataError("the corpus has no held-out text to measure perplexity on")
    size = min(windows, len(every))
    return [every[i * len(every) // size] for i in range(size)]


def num_tokens(windows: Sequence[Span]) -> int:
    """The tokens of windows, those that neighbours share counted in each."""
    return sum(window.end - window.start for window in windows)
