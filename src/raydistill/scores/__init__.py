"""Data-driven locations. A score is a file; the layers with the lowest values leave first.

    score(model, batches_BT) -> Tensor[num_layers]

reads training windows, never held-out text (METHOD 3).
"""

from collections.abc import Callable, Iterable
from typing import cast

from torch import Tensor

from raydistill.models import Decoder
from raydistill.parts import load_part

Score = Callable[[Decoder, Iterable[Tensor]], Tensor]


def load_score(name: str) -> Score:
    """The score of that name.

    Raises:
        UsageError: if there is no such score.
    """
    return cast(Score, load_part(__name__, name, "score"))
