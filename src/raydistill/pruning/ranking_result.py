"""The result of `raydistill rank`, as values without tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.parts import SCORE, part_names
from raydistill.specs.locations import LOCATIONS, RANDOM_LOCATIONS, Layers, check_count, may_leave

DEFAULT_COUNT_SHARES = (1 / 8, 1 / 4, 1 / 3, 1 / 2)  # of the layers
GREEDY = "greedy"  # measured on request alone: it costs count times layers passes


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """The loss of a model without the layers of a location, before any training."""

    location: str
    layers: Layers  # ascending
    nll: float  # nats per token
    window_nll: tuple[float, ...]  # the same in each window, of which it is the mean
    refusal: str = ""  # why no model can be made without them, if so: they passed on their input

    @property
    def count(self) -> int:
        """How many layers are removed."""
        return len(self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Every layer's scores, and every location's one-shot loss."""

    model: str
    text: str
    windows: int  # to score layers, and as many others to measure cuts
    context: int  # tokens in each
    device: str
    seconds: float
    counts: tuple[int, ...]
    block_influence: tuple[float, ...]  # by layer, 0 to 2
    loss_increase: tuple[float, ...]  # by layer, nats per token when it alone is skipped
    spans: Mapping[int, tuple[float, ...]]  # length → angular distance by first layer, 0 to 1
    base_nll: float  # of the whole model, on the windows of the cuts
    cuts: tuple[Cut, ...]  # by count, then in the order of `locations_to_rank`
    block_parameters: tuple[int, ...] = ()  # of each block, where they differ

    @property
    def num_layers(self) -> int:
        """How many layers the whole model has."""
        return len(self.block_influence)

    def of_count(self, count: int) -> tuple[Cut, ...]:
        """The cuts of `count` layers, the lowest loss first."""
        return tuple(sorted((c for c in self.cuts if c.count == count), key=lambda c: c.nll))

    def least_missed(self) -> tuple[int, ...]:
        """The layers that may leave, the lowest loss increase first."""
        return tuple(sorted(may_leave(self.num_layers), key=self.loss_increase.__getitem__))


def locations_to_rank(*, dear: bool = False) -> tuple[str, ...]:
    """Every location, `greedy` only if `dear`: presets, scores, random sets."""
    scores = tuple(name for name in part_names(SCORE) if dear or name != GREEDY)
    return (*LOCATIONS, *scores, *RANDOM_LOCATIONS)


def counts_of(requested: Sequence[int], num_layers: int) -> tuple[int, ...]:
    """The requested counts, or a few shares of the layers; ascending, each once.

    Raises:
        UsageError: if the model cannot give one of them.

    >>> counts_of((), 30)
    (4, 8, 10, 15)
    """
    defaults = (
        min(max(1, round(share * num_layers)), num_layers - 2) for share in DEFAULT_COUNT_SHARES
    )
    counts = tuple(sorted(set(requested or defaults)))
    for count in counts:
        check_count(count, num_layers, location="all", allow_ends=False)
    return counts


def layers_text(layers: Sequence[int]) -> str:
    """Layers as a list location writes them.

    >>> layers_text((1, 2, 3, 7))
    '1-3,7'
    """
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in layer_runs(layers))


def layer_runs(layers: Sequence[int]) -> list[tuple[int, int]]:
    """The first and the last layer of each run of neighbours, for ascending layers."""
    firsts = [layer for layer in layers if layer - 1 not in layers]
    lasts = [layer for layer in layers if layer + 1 not in layers]
    return list(zip(firsts, lasts, strict=True))


def layers_word(count: int) -> str:
    """A count of layers in words.

    >>> layers_word(1)
    '1 layer'
    """
    return f"{count} layer" + ("" if count == 1 else "s")
