"""What `raydistill rank` finds out about a model, as values without tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.parts import SCORE, part_names
from raydistill.specs.locations import LOCATIONS, RANDOM_LOCATIONS, Layers, check_count, may_leave

SHARES = (1 / 8, 1 / 4, 1 / 3, 1 / 2)
"""Of the layers, that leave unless counts are named."""

DEAR = "greedy"
"""The one location that is left out unless asked for: it costs count times layers passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """The model without the layers that a location takes, before any training."""

    location: str
    layers: Layers  # ascending
    nll: float  # nats per token

    @property
    def count(self) -> int:
        """How many layers left."""
        return len(self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Every layer's scores, and every location's one-shot loss."""

    model: str
    text: str
    windows: int  # that layers are scored by, and as many others that cuts are measured on
    context: int  # tokens in each
    device: str
    seconds: float
    counts: tuple[int, ...]
    block_influence: tuple[float, ...]  # by layer, 0 to 2
    loss_increase: tuple[float, ...]  # by layer, nats per token when it alone is skipped
    spans: Mapping[int, tuple[float, ...]]  # length → angular distance by first layer, 0 to 1
    base_nll: float  # of the whole model where the cuts were measured
    cuts: tuple[Cut, ...]  # by count, then in the order of `locations_to_rank`

    @property
    def num_layers(self) -> int:
        """Of the whole model."""
        return len(self.block_influence)

    def of_count(self, count: int) -> tuple[Cut, ...]:
        """The cuts of so many layers, the lowest loss first."""
        return tuple(sorted((c for c in self.cuts if c.count == count), key=lambda c: c.nll))

    def least_missed(self) -> tuple[int, ...]:
        """The layers that may leave, the lowest loss increase first."""
        return tuple(sorted(may_leave(self.num_layers), key=self.loss_increase.__getitem__))


def locations_to_rank(*, dear: bool = False) -> tuple[str, ...]:
    """Every location, the dear one only if asked for: presets, scores, random sets."""
    scores = tuple(name for name in part_names(SCORE) if dear or name != DEAR)
    return (*LOCATIONS, *scores, *RANDOM_LOCATIONS)


def counts_of(asked: Sequence[int], num_layers: int) -> tuple[int, ...]:
    """The counts that were asked for, or a few shares of the layers; ascending, each once.

    Raises:
        UsageError: if the model cannot give one of them.

    >>> counts_of((), 30)
    (4, 8, 10, 15)
    """
    usual = (min(max(1, round(share * num_layers)), num_layers - 2) for share in SHARES)
    counts = tuple(sorted(set(asked or usual)))
    for count in counts:
        check_count(count, num_layers, location="all", allow_ends=False)
    return counts


def layers_text(layers: Sequence[int]) -> str:
    """Layers as a list location writes them.

    >>> layers_text((1, 2, 3, 7))
    '1-3,7'
    """
    starts = [layer for layer in layers if layer - 1 not in layers]
    ends = [layer for layer in layers if layer + 1 not in layers]
    runs = zip(starts, ends, strict=True)
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def layers_word(count: int) -> str:
    """So many layers.

    >>> layers_word(1)
    '1 layer'
    """
    return f"{count} layer" + ("" if count == 1 else "s")
