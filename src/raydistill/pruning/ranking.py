"""Layer scores, and the one-shot loss of every location: measured without any training.

Each batch of windows passes once through the whole model, which gives the input of every block.
What lies below the first layer that a cut removes is not computed again.

Shapes: B windows, T positions, D model width, N targets at a time, V vocabulary.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from raydistill.core.errors import UsageError
from raydistill.core.progress import StageProgress, report
from raydistill.models.decoder import Decoder
from raydistill.pruning.calibration import Sample
from raydistill.pruning.importance.angular_distance import angular, nearest_span
from raydistill.pruning.importance.greedy import choose as choose_greedily
from raydistill.pruning.importance.greedy import passes as greedy_passes
from raydistill.pruning.layer_choice import LayerRequest
from raydistill.pruning.layer_scoring import CountedBatches, choose_layers
from raydistill.pruning.ranking_result import GREEDY, Cut, Ranking, counts_of, locations_to_rank
from raydistill.specs.flops import block_sizes
from raydistill.specs.locations import Layers, is_data_driven, lowest, may_leave, pick
from raydistill.specs.shape.families import is_causal

_TOLERANCE = 1e-3  # of what the head reads, of its largest value
_HEAD_TOKENS = 2_048  # logits of a large vocabulary fill a memory


@torch.inference_mode()
def rank(
    model: Decoder,
    sample: Sample,
    counts: Sequence[int],
    *,
    name: str,
    text: str,
    dear: bool = False,
) -> Ranking:
    """Score the layers of a model, and measure it without those of every location.

    Args:
        model: whole, on the device of the sample; afterwards it is as it was.
        sample: windows tokenised by the model's tokenizer.
        counts: how many layers leave; empty: a few shares of them.
        name: of the model.
        text: name of the text.
        dear: also by `greedy`, which takes count times layers passes.

    Raises:
        UsageError: if the model cannot lose that many layers, or sees what follows.
        DataError: if a score returns what it must not.
    """
    if not is_causal(family := model.config.family):
        raise UsageError(
            f"layers are ranked by what follows a text, which a model of family {family} sees"
        )
    start_s, num_layers = time.monotonic(), len(model.blocks)
    counts = counts_of(counts, num_layers)
    names = locations_to_rank(dear=dear)
    total = len(sample.scored) * (1 + num_layers)
    total += len(sample.measured) * (1 + len(counts) * len(names))
    if dear:
        total += len(sample.scored) * greedy_passes(num_layers, max(counts))
    passes = _Passes(total)
    with model.evaluating():
        scores = _scores(model, sample.scored, counts, passes)
        if dear:  # a smaller count takes the first of these
            candidates = may_leave(num_layers)
            windows = CountedBatches(sample.scored, passes.add)
            chosen = choose_greedily(model, windows, max(counts), candidates)
            scores = replace(scores, greedy=chosen)
        cuts = {(n, k): _layers(n, k, scores, model, sample) for k in counts for n in names}
        layer_sets = tuple(dict.fromkeys(((), *cuts.values())))
        # Locations that take the same layers are measured once.
        passes.total -= len(sample.measured) * (1 + len(cuts) - len(layer_sets))
        nlls = _losses(model, sample.measured, layer_sets, passes)
        refusals = {layers: model.refusal(layers) for layers in layer_sets}
    device = sample.scored[0].device
    return Ranking(
        model=name,
        text=text,
        windows=sample.windows,
        context=sample.scored[0].shape[1] - 1,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        seconds=time.monotonic() - start_s,
        counts=counts,
        block_influence=scores.influence,
        loss_increase=scores.increase,
        spans={length: scores.spans[length] for length in counts},
        base_nll=fmean(nlls[()]),
        cuts=tuple(
            Cut(
                location=location,
                layers=layers,
                nll=fmean(nlls[layers]),
                window_nll=nlls[layers],
                refusal=refusals[layers],
            )
            for (location, _), layers in cuts.items()
        ),
        block_parameters=_sizes(model),
    )


def _sizes(model: Decoder) -> tuple[int, ...]:
    """The parameters of each block, with its share of tables beside them; empty if alike."""
    sizes = [block.parameters + block.tables for block in block_sizes(model.config)]
    return tuple(sizes) if len(set(sizes)) > 1 else ()


@dataclass(slots=True)
class _Passes:
    total: int
    count: int = 0

    def add(self) -> None:
        self.count += 1
        stage = "passes through the model"
        report(StageProgress(stage=stage, done=self.count, total=self.total, unit="passes"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scores:
    influence: tuple[float, ...]
    increase: tuple[float, ...]
    spans: Mapping[int, tuple[float, ...]]
    last_spans: Mapping[int, tuple[float, ...]]  # at the last token of each window
    greedy: Layers = ()  # in the order in which they leave


def _scores(
    model: Decoder, batches_BT: Sequence[Tensor], counts: Sequence[int], passes: _Passes
) -> _Scores:
    """The scores of `importance/`: block influence, loss increase, angular distance of spans."""
    sums, num_layers = _StateSums(model, counts), len(model.blocks)
    singles = tuple((layer,) for layer in range(num_layers))
    nlls = _losses(model, batches_BT, ((), *singles), passes, sums.add)
    return _Scores(
        influence=tuple((1 - sums.cosine / sums.tokens).tolist()),
        increase=tuple(fmean(nlls[layers]) - fmean(nlls[()]) for layers in singles),
        spans={k: tuple((total / sums.tokens).tolist()) for k, total in sums.spans.items()},
        last_spans={k: tuple((total / sums.ends).tolist()) for k, total in sums.last.items()},
    )


class _StateSums:
    """Sums over tokens of distances of hidden states, for every block and span in one pass."""

    def __init__(self, model: Decoder, counts: Sequence[int]) -> None:
        num_layers = len(model.blocks)
        self.cosine = torch.zeros(num_layers, dtype=torch.float64)
        self.spans = {k: torch.zeros(num_layers - k + 1, dtype=torch.float64) for k in counts}
        self.last = {k: torch.zeros_like(total) for k, total in self.spans.items()}
        self.tokens = self.ends = 0

    def add(self, states_BTD: Sequence[Tensor]) -> None:
        """Add a batch: what goes into each block, and what comes out of the last."""
        self.tokens += states_BTD[0].shape[:2].numel()
        self.ends += len(states_BTD[0])
        for layer in range(len(self.cosine)):
            before_BTD, after_BTD = (state.double() for state in states_BTD[layer : layer + 2])
            cosine_BT = torch.cosine_similarity(before_BTD, after_BTD, dim=-1)
            self.cosine[layer] += cosine_BT.sum().cpu()
        for length, total in self.spans.items():
            for first in range(len(total)):
                distance_BT = angular(states_BTD[first], states_BTD[first + length])
                total[first] += distance_BT.sum().cpu()
                self.last[length][first] += distance_BT[:, -1].sum().cpu()


def _layers(location: str, count: int, scores: _Scores, model: Decoder, sample: Sample) -> Layers:
    """The layers that a location takes, ascending; scores as on the windows for scoring."""
    candidates = may_leave(len(model.blocks))
    if not is_data_driven(location):
        layers: Sequence[int] = pick(location, len(model.blocks), count)
    elif location == "block-influence":
        layers = lowest(scores.influence, count)
    elif location == "loss-increase":
        layers = lowest(scores.increase, count)
    elif location == "angular-distance":
        layers = nearest_span(torch.tensor(scores.spans[count]), count, candidates)
    elif location == "angular-distance-last":
        layers = nearest_span(torch.tensor(scores.last_spans[count]), count, candidates)
    elif location == GREEDY:
        layers = scores.greedy[:count]
    else:  # a score that somebody added
        request = LayerRequest(score=location, count=count)
        (choice,) = choose_layers(model, [[ids[:, :-1] for ids in sample.scored]], [request])
        layers = choice.layers
    return tuple(sorted(layers))


def _losses(
    model: Decoder,
    batches_BT: Sequence[Tensor],
    layer_sets: Sequence[Layers],
    passes: _Passes,
    watch: Callable[[Sequence[Tensor]], None] = lambda _states: None,
) -> dict[Layers, tuple[float, ...]]:
    """Nats per token of each window, for the model without each of the layer sets.

    The empty set comes first.
    """
    midway: bool | None = None
    nats: dict[Layers, list[float]] = {layers: [] for layers in layer_sets}
    for ids_BT in batches_BT:
        states_BTD, hidden_BTD = model.states(ids_BT[:, :-1])
        watch(states_BTD)
        nats[()] += _nats(model, hidden_BTD, ids_BT[:, 1:])
        passes.add()
        if midway is None:
            midway = _goes_on_midway(model, ids_BT[:, :-1], states_BTD, hidden_BTD)
        for layers in layer_sets:
            if layers:
                with _without(layers, model, states_BTD) if midway else model.skipping(layers):
                    hidden_BTD = model.hidden(ids_BT[:, :-1])
                nats[layers] += _nats(model, hidden_BTD, ids_BT[:, 1:])
                passes.add()
    return {layers: tuple(of_windows) for layers, of_windows in nats.items()}


def _goes_on_midway(
    model: Decoder, tokens_BT: Tensor, states_BTD: Sequence[Tensor], hidden_BTD: Tensor
) -> bool:
    """Whether the last block alone, on what it is known to get, makes what the head reads.

    Not where it reads keys and values of an earlier block, or more than the hidden state.
    """
    last = len(model.blocks) - 1
    if last < 2:
        return True
    with _started(last, range(1, last), model, states_BTD):
        again_BTD = model.hidden(tokens_BT)
    tolerance = _TOLERANCE * float(hidden_BTD.float().abs().max())
    return bool((again_BTD.float() - hidden_BTD.float()).abs().max() <= tolerance)


@contextmanager
def _without(layers: Layers, model: Decoder, states_BTD: Sequence[Tensor]) -> Iterator[None]:
    """The model without `layers`, started from the known input of the first of them."""
    first = layers[0]
    if first < 2:
        with model.skipping(layers):
            yield
    else:
        with _started(first, {*range(1, first), *layers}, model, states_BTD):
            yield


@contextmanager
def _started(
    first: int, skipped: Collection[int], model: Decoder, states_BTD: Sequence[Tensor]
) -> Iterator[None]:
    """The model without the blocks `skipped`, started from the known input of block `first`.

    Block 0 stays, since a model of transformers consists of its own blocks alone; its output is
    replaced by what goes into `first`.
    """

    def replace_output(
        _block: object, _inputs: object, output: Tensor | tuple[Tensor, ...]
    ) -> object:
        known_BTD = states_BTD[first]
        return known_BTD if isinstance(output, Tensor) else (known_BTD, *output[1:])

    handle = model.blocks[0].register_forward_hook(replace_output)
    try:
        with model.skipping(skipped):
            yield
    finally:
        handle.remove()


def _nats(model: Decoder, hidden_BTD: Tensor, targets_BT: Tensor) -> list[float]:
    """Nats per target of each window."""
    pairs = zip(
        hidden_BTD.flatten(0, 1).split(_HEAD_TOKENS),
        targets_BT.flatten().split(_HEAD_TOKENS),
        strict=True,
    )
    losses_N = torch.cat(
        [
            F.cross_entropy(model.head(hidden_ND).float(), targets_N, reduction="none")
            for hidden_ND, targets_N in pairs
        ]
    )
    means: list[float] = losses_N.view_as(targets_BT).double().mean(dim=1).tolist()
    return means
