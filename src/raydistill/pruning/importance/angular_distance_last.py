"""Angular distance across a contiguous span, at the last token of each window.

As Gromov et al. (2024), arXiv:2403.17887, section 3.2, define it; `angular_distance.py` reads
all tokens.
"""

from collections.abc import Sequence

from torch import Tensor

from raydistill.models.decoder import Decoder
from raydistill.pruning.importance.angular_distance import LAST, nearest_span, span_distances


def score(model: Decoder, batches_BT: Sequence[Tensor]) -> Tensor:
    """Distance of each block's input and output: spans of one. Float64 [num_layers], in [0, 1]."""
    return span_distances(model, batches_BT, 1, LAST)


def choose(
    model: Decoder, batches_BT: Sequence[Tensor], count: int, candidates: Sequence[int]
) -> tuple[int, ...]:
    """The span of `count` layers that turns the last token's state least; ascending."""
    return nearest_span(span_distances(model, batches_BT, count, LAST), count, candidates)
