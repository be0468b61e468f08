"""Which layers a data-driven location takes from a base: the request, and the choice."""

from dataclasses import dataclass

from raydistill.core.parts import SCORE
from raydistill.core.serialization import digest
from raydistill.specs.part_identity import edited_families, part_identity

# Raised when scores would take other layers than before though their own code has not changed.
SCORING_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class LayerRequest:
    """`count` layers by the location `score`; with `allow_ends`, the first and last too."""

    score: str
    count: int
    allow_ends: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerChoice:
    """The layers chosen by each of several disjoint samples of training windows.

    `values` has a value for every layer by sample, the lowest least important; it is empty
    where a score chooses layers together and gives none a value of its own.
    """

    request: LayerRequest
    samples: tuple[tuple[int, ...], ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that leave, those of the first sample, in the order of the score."""
        return self.samples[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedChoice:
    """Why a score chose no layers; trying again does not help."""

    request: LayerRequest
    message: str  # one line
    traceback: str


def layer_choice_path(
    weights_sha256: str, corpus_sha256: str, request: LayerRequest
) -> tuple[str, ...]:
    """Where the store keeps the `LayerChoice` for a base, by training windows of a corpus.

    Raises:
        UsageError: if there is no such score.
    """
    code = [part_identity(SCORE, request.score), *edited_families().values()]
    key = digest([SCORING_VERSION, corpus_sha256, *code])
    ends = "-ends" if request.allow_ends else ""
    name = f"{request.score}-{request.count}{ends}-{key}.json"
    return ("layer_scores", weights_sha256, name)
