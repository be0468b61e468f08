"""Which layers matter, and what every location costs at once: measured without any training.

Each batch of windows passes once through the whole model, which leaves what goes into every
block. Whatever lies below the first layer that a cut takes out is not computed again.

Shapes: B windows, T positions, D model width, N targets at a time, V vocabulary.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from raydistill.models.decoder import Decoder
from raydistill.pruning.calibration import Sample
from raydistill.pruning.importance.angular_distance import angular, nearest_span
from raydistill.pruning.importance.greedy import choose as choose_greedily
from raydistill.pruning.layer_choice import LayerRequest
from raydistill.pruning.layer_scoring import choose_layers
from raydistill.pruning.ranking_result import DEAR, Cut, Ranking, counts_of, locations_to_rank
from raydistill.specs.locations import Layers, is_data_driven, lowest, may_leave, pick

_HEAD_TOKENS = 2_048  # logits of a large vocabulary fill a memory

Step = Callable[[int, int], None]
"""Told after every pass: how many are done, and of how many."""


@torch.inference_mode()
def rank(
    model: Decoder,
    sample: Sample,
    counts: Sequence[int],
    step: Step,
    *,
    name: str,
    text: str,
    dear: bool = False,
) -> Ranking:
    """All that is known of a model without training it.

    Args:
        model: whole, on the device of the sample; afterwards it is as it was.
        sample: of a text of the model's tokenizer.
        counts: how many layers leave; empty: a few shares of them.
        step: told how far it is.
        name: of the model.
        text: its name.
        dear: also by the location that takes count times layers passes, `ranked.DEAR`.

    Raises:
        UsageError: if the model cannot give one of the counts.
        DataError: if a score breaks its promise.
    """
    began_s, num_layers = time.monotonic(), len(model.blocks)
    counts = counts_of(counts, num_layers)
    names = locations_to_rank(dear=dear)
    passes = len(sample.scored) * (1 + num_layers)
    passes += len(sample.measured) * (1 + len(counts) * len(names))
    meter = _Meter(passes, step)
    with model.evaluating():
        scores = _scores(model, sample.scored, counts, meter)
        if dear:
            scores = replace(scores, greedy=_greedy(model, sample.scored, max(counts)))
        named = {(n, k): _layers(n, k, scores, model, sample) for k in counts for n in names}
        asked = tuple(dict.fromkeys(((), *named.values())))
        meter.spare(len(sample.measured) * (1 + len(named) - len(asked)))
        nlls = _losses(model, sample.measured, asked, meter)
    return Ranking(
        model=name,
        text=text,
        windows=sample.windows,
        context=sample.scored[0].shape[1] - 1,
        device=_kind(sample.scored[0].device),
        seconds=time.monotonic() - began_s,
        counts=counts,
        block_influence=scores.influence,
        loss_increase=scores.increase,
        spans={length: scores.spans[length] for length in counts},
        base_nll=nlls[()],
        cuts=tuple(Cut(location=n, layers=at, nll=nlls[at]) for (n, _), at in named.items()),
    )


@dataclass(slots=True)
class _Meter:
    """How many passes there are, and were."""

    total: int
    step: Step
    done: int = 0

    def pass_done(self) -> None:
        self.done += 1
        self.step(self.done, self.total)

    def spare(self, passes: int) -> None:
        """Locations that take the same layers are measured once."""
        self.total -= passes


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scores:
    influence: tuple[float, ...]
    increase: tuple[float, ...]
    spans: Mapping[int, tuple[float, ...]]
    last_spans: Mapping[int, tuple[float, ...]]  # at the last token of each window
    greedy: Layers = ()  # in the order in which they leave


def _scores(
    model: Decoder, batches_BT: Sequence[Tensor], counts: Sequence[int], meter: _Meter
) -> _Scores:
    """As `importance/` has them: block influence, loss increase, angular distance of spans."""
    sums, num_layers = _StateSums(model, counts), len(model.blocks)
    alone = tuple((layer,) for layer in range(num_layers))
    nlls = _losses(model, batches_BT, ((), *alone), meter, sums.add)
    return _Scores(
        influence=tuple((1 - sums.cosine / sums.tokens).tolist()),
        increase=tuple(nlls[layers] - nlls[()] for layers in alone),
        spans={k: tuple((total / sums.tokens).tolist()) for k, total in sums.spans.items()},
        last_spans={k: tuple((total / sums.ends).tolist()) for k, total in sums.last.items()},
    )


def _greedy(model: Decoder, batches_BT: Sequence[Tensor], count: int) -> Layers:
    """A smaller count takes the first of these."""
    return choose_greedily(model, batches_BT, count, may_leave(len(model.blocks)))


class _StateSums:
    """What hidden states add up to: one pass gives every block and every span."""

    def __init__(self, model: Decoder, counts: Sequence[int]) -> None:
        num_layers = len(model.blocks)
        self.cosine = torch.zeros(num_layers, dtype=torch.float64)
        self.spans = {k: torch.zeros(num_layers - k + 1, dtype=torch.float64) for k in counts}
        self.last = {k: torch.zeros_like(total) for k, total in self.spans.items()}
        self.tokens = self.ends = 0

    def add(self, states_BTD: Sequence[Tensor]) -> None:
        """Add those of a batch: what goes into each block, and what comes out of the last."""
        self.tokens += states_BTD[0].shape[:2].numel()
        self.ends += len(states_BTD[0])
        for layer in range(len(self.cosine)):
            came, went = states_BTD[layer].double(), states_BTD[layer + 1].double()
            self.cosine[layer] += torch.cosine_similarity(came, went, dim=-1).sum().cpu()
        for length, total in self.spans.items():
            for first in range(len(total)):
                turned_BT = angular(states_BTD[first], states_BTD[first + length])
                total[first] += turned_BT.sum().cpu()
                self.last[length][first] += turned_BT[:, -1].sum().cpu()


def _layers(location: str, count: int, scores: _Scores, model: Decoder, sample: Sample) -> Layers:
    """The layers that a location takes, ascending; by a score as on the scored windows."""
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
    elif location == DEAR:
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
    meter: _Meter,
    watch: Callable[[Sequence[Tensor]], None] = lambda _states: None,
) -> dict[Layers, float]:
    """Mean nats per token of the model without each of the layer sets, the empty one first."""
    nats, targets = dict.fromkeys(layer_sets, 0.0), 0
    for ids_BT in batches_BT:
        states_BTD, hidden_BTD = _states(model, ids_BT[:, :-1])
        watch(states_BTD)
        nats[()] += _nats(model, hidden_BTD, ids_BT[:, 1:])
        targets += ids_BT[:, 1:].numel()
        meter.pass_done()
        for layers in layer_sets:
            if layers:
                with _without(layers, model, states_BTD):
                    hidden_BTD = model.hidden(ids_BT[:, :-1])
                nats[layers] += _nats(model, hidden_BTD, ids_BT[:, 1:])
                meter.pass_done()
    return {layers: total / targets for layers, total in nats.items()}


def _states(model: Decoder, tokens_BT: Tensor) -> tuple[list[Tensor], Tensor]:
    """What goes into each block and what comes out of the last, and what the head reads."""
    states_BTD: list[Tensor] = []

    def keep(layer: int, inputs_BTD: Tensor, outputs_BTD: Tensor) -> None:
        states_BTD.append(inputs_BTD)
        if layer == len(model.blocks) - 1:
            states_BTD.append(outputs_BTD)

    with model.watching_blocks(keep):
        return states_BTD, model.hidden(tokens_BT)


@contextmanager
def _without(layers: Layers, model: Decoder, states_BTD: Sequence[Tensor]) -> Iterator[None]:
    """The model without `layers`; it goes on from what goes into the first of them.

    The first block stays, since a model of transformers is made of its own blocks alone; what it
    gives out is what would come out of all blocks below.
    """
    first = layers[0]
    if first < 2:
        with model.skipping(layers):
            yield
        return

    def replaced(_block: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> object:
        known_BTD = states_BTD[first]
        return known_BTD if isinstance(output, Tensor) else (known_BTD, *output[1:])

    handle = model.blocks[0].register_forward_hook(replaced)
    try:
        with model.skipping({*range(1, first), *layers}):
            yield
    finally:
        handle.remove()


def _nats(model: Decoder, hidden_BTD: Tensor, targets_BT: Tensor) -> float:
    """Nats of all targets together."""
    total = 0.0
    pairs = zip(
        hidden_BTD.flatten(0, 1).split(_HEAD_TOKENS),
        targets_BT.flatten().split(_HEAD_TOKENS),
        strict=True,
    )
    for hidden_ND, targets_N in pairs:
        losses_N = F.cross_entropy(model.head(hidden_ND).float(), targets_N, reduction="none")
        total += losses_N.double().sum().item()
    return total


def _kind(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
