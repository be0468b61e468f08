"""Which layers a data-driven location takes from a base: what is asked, and what was found."""

from dataclasses import dataclass

from raydistill.core.parts import SCORE
from raydistill.core.serialization import digest
from raydistill.specs.part_identity import part_identity

SCORING_VERSION = 1
"""Raised when a score would take other layers than before though its own code has not changed."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class LayerRequest:
    """`count` layers by the data-driven location `score`; with `allow_ends`, of all layers."""

    score: str
    count: int
    allow_ends: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerChoice:
    """What several disjoint samples of training windows gave; the first sample's layers leave.

    `values` has a value for every layer and sample, the lowest least missed; it is empty
    where a score chooses layers together and gives none a value of its own.
    """

    request: LayerRequest
    samples: tuple[tuple[int, ...], ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that leave, in the order in which the score takes them."""
        return self.samples[0]


def layer_choice_path(
    weights_sha256: str, corpus_sha256: str, request: LayerRequest
) -> tuple[str, ...]:
    """Where the store keeps what a request takes from a base, by training windows of a corpus.

    Raises:
        UsageError: if there is no such score.
    """
    key = digest([SCORING_VERSION, corpus_sha256, part_identity(SCORE, request.score)])
    ends = "-ends" if request.allow_ends else ""
    name = f"{request.score}-{request.count}{ends}-{key}.json"
    return ("layer_scores", weights_sha256, name)
