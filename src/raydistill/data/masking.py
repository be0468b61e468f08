"""Which tokens of a window are hidden from a masked language model, and are its targets.

The places of a window are a pure function of (seed, epoch, window): whoever draws them, in
whatever company, gets the same. Vocabularies of texts have no entry to spare for a mask, so what
stands for a hidden token is end-of-text. Numpy alone: texts are counted without torch.

Shapes: B windows, T tokens, M targets.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
DrawArray = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]

HELDOUT_SEED = 0  # of the one drawing of held-out text

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LAST = np.uint64(1 << 63)  # above every draw


def num_targets(tokens: int, share: float) -> int:
    """How many of a window's tokens are targets: exactly round(`share`·`tokens`) (METHOD 9)."""
    return round(share * tokens)


def mask_key(seed: int, epoch: int, window: int) -> str:
    """What decides the places of a window in an epoch.

    Args:
        seed: of the data order.
        epoch: from 0; each hides other tokens.
        window: its number in the text, whatever the order.
    """
    return f"mask/{seed}/{epoch}/{window}"


def masked_places(
    ids_BT: IntArray, keys: Sequence[str], share: float, end_of_text_id: int
) -> IntArray:
    """The places of the targets of each window, ascending, int64 [B, M].

    End-of-text is a target only where a window has too few other tokens.

    Args:
        ids_BT: the tokens, without padding: it is no token of a window, and so never a target.
        keys: of the windows (`mask_key`).
        share: of the tokens, above 0 to 1.
        end_of_text_id: what stands between documents.
    """
    tokens = ids_BT.shape[1]
    draws_BT = _draws(keys, tokens) >> np.uint64(1)
    draws_BT[ids_BT == end_of_text_id] |= _LAST
    order_BT = draws_BT.argsort(axis=1, kind="stable")
    places_BM: IntArray = order_BT[:, : num_targets(tokens, share)].astype(np.int64)
    places_BM.sort(axis=1)
    return places_BM


def heldout_places(text_T: IntArray, start: int, share: float, end_of_text_id: int) -> IntArray:
    """The same of one held-out window [M], which is the same whenever it is measured.

    Args:
        text_T: the tokens that a model reads of it, without what it begins with.
        start: of the window in the held-out tokens.
        share: of the tokens, above 0 to 1.
        end_of_text_id: what stands between documents.
    """
    key = mask_key(HELDOUT_SEED, 0, start)
    places_M: IntArray = masked_places(text_T[None], [key], share, end_of_text_id)[0]
    return places_M


def _draws(keys: Sequence[str], size: int) -> DrawArray:
    """`size` evenly spread 64-bit numbers of each key (SplitMix64: Steele et al., 2014)."""
    starts = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
    start_B1 = np.frombuffer(b"".join(starts), dtype="<u8").astype(np.uint64)[:, None]
    mixed: DrawArray = start_B1 + np.arange(1, size + 1, dtype=np.uint64) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
