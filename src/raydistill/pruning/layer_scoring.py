"""Data-driven locations. A score is a file of `pruning/importance/` that finds unimportant layers.

    score(model, batches_BT) -> Tensor[num_layers]
    choose(model, batches_BT, count, candidates) -> layers
    passes(num_layers, count) -> int

It defines one of these. By `score` the layers of the lowest values leave; `choose` picks layers
that only make sense together, among `candidates`, those that may leave, ascending. Where a file
defines both, `choose` picks, and `score` gives the values of layers that were not picked. One that
reads the batches more than once says by `passes` how often, so that the time left can be shown.

`batches_BT` are training windows, int64 [B, context], never held-out text (METHOD 3). The model
comes in evaluation mode, and a score leaves it as it was (`Decoder.skipping`).
"""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import cast

import torch
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.core.parts import SCORE, defines, load_part, part_in_file
from raydistill.core.progress import StageProgress, report
from raydistill.models.decoder import Decoder
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest
from raydistill.specs.locations import lowest, may_leave

Batches = Sequence[Tensor]
Score = Callable[[Decoder, Batches], Tensor]
Choose = Callable[[Decoder, Batches, int, Sequence[int]], Sequence[int]]


class CountedBatches(list[Tensor]):
    """Batches that call `on_read` whenever one of them was read."""

    def __init__(self, batches: Batches, on_read: Callable[[], None]) -> None:
        super().__init__(batches)
        self._on_read = on_read

    def __iter__(self) -> Iterator[Tensor]:
        """The batches, in order."""
        for batch in super().__iter__():
            yield batch
            self._on_read()


def choose_layers(
    model: Decoder, samples: Sequence[Batches], requests: Iterable[LayerRequest]
) -> Iterator[LayerChoice]:
    """The layers of each request in `model`, by each of `samples` alone.

    Raises:
        UsageError: if there is no such score.
        DataError: if a score has no finite value for a layer, or picks what may not leave.
    """
    requests = list(requests)
    values: dict[str, tuple[tuple[float, ...], ...]] = {}
    samples = _reported(samples, total_passes(requests, len(model.blocks)))
    for request in requests:
        name = request.score
        with model.evaluating():
            if name not in values:
                values[name] = _values(name, model, samples)
            picked = _picked(request, values[name], model, samples)
        yield LayerChoice(request=request, samples=picked, values=values[name])


def total_passes(requests: Sequence[LayerRequest], num_layers: int) -> int:
    """How often every batch is read for these requests, as far as their scores say."""
    total = 0
    for kind in ("score", "choose"):
        once = {request.score: request for request in requests}.values()
        for request in once if kind == "score" else requests:
            if defines(SCORE, request.score, kind):
                total += _passes(request, num_layers)
    return total


def _passes(request: LayerRequest, num_layers: int) -> int:
    if not defines(SCORE, request.score, "passes"):
        return 1
    passes = cast(Callable[[int, int], int], load_part(SCORE, request.score, "passes"))
    return passes(num_layers, request.count)


def _reported(samples: Sequence[Batches], passes: int) -> list[Batches]:
    """The samples, with what is read of them reported."""
    done, total = 0, passes * sum(map(len, samples))

    def on_read() -> None:
        nonlocal done
        done += 1
        progress = StageProgress(
            stage="layer scores", done=min(done, total), total=total, unit="passes"
        )
        report(progress)

    return [CountedBatches(sample, on_read) for sample in samples]


def _values(name: str, model: Decoder, samples: Sequence[Batches]) -> tuple[tuple[float, ...], ...]:
    """A value of every layer by sample; nothing where the score has no `score`."""
    if defines(SCORE, name, "choose") and not defines(SCORE, name, "score"):
        load_part(SCORE, name, "choose")
        return ()
    score = cast(Score, load_part(SCORE, name, "score"))
    return tuple(_finite(name, score(model, sample), len(model.blocks)) for sample in samples)


def _finite(name: str, given: object, num_layers: int) -> tuple[float, ...]:
    """What a score gave, as numbers."""
    values: tuple[float, ...] | str = type(given).__name__
    with suppress(TypeError, ValueError, RuntimeError):
        values = tuple(map(float, torch.as_tensor(given).tolist()))
    if isinstance(values, str) or len(values) != num_layers or not all(map(math.isfinite, values)):
        raise DataError(
            f"{part_in_file(SCORE, name)} gave {values}: it must be one finite value for each of "
            f"the {num_layers} layers"
        )
    return values


def _picked(
    request: LayerRequest,
    values: Sequence[Sequence[float]],
    model: Decoder,
    samples: Sequence[Batches],
) -> tuple[tuple[int, ...], ...]:
    """The layers that leave, by sample."""
    name, count, ends = request.score, request.count, request.allow_ends
    if not defines(SCORE, name, "choose"):
        return tuple(lowest(of_layers, count, allow_ends=ends) for of_layers in values)
    choose = cast(Choose, load_part(SCORE, name, "choose"))
    candidates = may_leave(len(model.blocks), allow_ends=ends)
    return tuple(
        _allowed(name, choose(model, sample, count, candidates), count, candidates)
        for sample in samples
    )


def _allowed(name: str, given: object, count: int, candidates: Sequence[int]) -> tuple[int, ...]:
    """The layers that a score picked."""
    layers: tuple[int, ...] | str = type(given).__name__
    with suppress(TypeError):
        layers = tuple(map(operator.index, cast(Iterable[int], given)))
    if isinstance(layers, str) or not (
        len(layers) == len(set(layers).intersection(candidates)) == count
    ):
        raise DataError(
            f"{part_in_file(SCORE, name)} picked the layers {layers}: it must be {count} "
            f"different ones of {candidates[0]} to {candidates[-1]}"
        )
    return layers
