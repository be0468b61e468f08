"""Conversations as token ids, with a mark on each token that the assistant says.

Special tokens that a template writes are tokens, unlike in plain text. A token is the assistant's
if it begins inside of a turn, so that one across the border is whoever's it begins with.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydistill.data.documents import Document
from raydistill.data.tokenizer import Encoded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Turns = Sequence[tuple[int, int]]


def encode_conversations(
    documents: Sequence[Document], tokenizer: "Tokenizer", end: int
) -> Encoded:
    """Rendered conversations, each as its template has it and then `end`, which nobody says."""
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    token_bytes = 2 if max(tokenizer.get_vocab().values()) < 65_536 else 4
    tokenizer.encode_special_tokens = False
    blocks, masks, spans, position = [], [], [], 0
    for document in documents:
        encoding = tokenizer.encode(document.text, add_special_tokens=False)
        ids = np.array([*encoding.ids, end], dtype=np.int64)
        blocks.append(ids.astype(f"<u{token_bytes}").tobytes())
        masks.append(bytes([*marks(encoding.offsets, document.assistant), 0]))
        spans.append((position, position + len(ids) - 1))
        position += len(ids)
    return Encoded(
        data=b"".join(blocks),
        token_bytes=token_bytes,
        spans=tuple(spans),
        mask=b"".join(masks),
    )


def marks(offsets: Sequence[tuple[int, int]], turns: Turns) -> list[bool]:
    """Whether each token begins inside of one of the turns [start, end), which are ascending.

    Args:
        offsets: the characters [start, end) of each token, in order.
        turns: of the same text.

    >>> marks([(0, 4), (4, 7), (7, 9)], [(5, 9)])
    [False, False, True]
    """
    inside, remaining, last_end = [], list(reversed(turns)), 0
    for start, end in offsets:
        begin = min(start, last_end)  # some tokenizers leave the space before a word out
        last_end = max(last_end, end)
        while remaining and remaining[-1][1] <= begin:
            remaining.pop()
        inside.append(bool(remaining) and remaining[-1][0] <= begin)
    return inside
