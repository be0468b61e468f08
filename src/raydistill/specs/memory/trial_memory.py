"""What one device holds during a trial, part by part, and at the most at once.

    weights       4 bytes a parameter; 2 of `param_dtype` bfloat16
    gradients     4 bytes, of blocks that stay alone; on several devices DDP keeps them once more,
                  in the buckets that it sums (`gradient_as_bucket_view` is off)
    optimizer     4 bytes a learning parameter of Lion (its momentum), 8 of AdamW, or none where
                  they are offloaded; 4 more of the float32 copies of bfloat16 weights
    activations   `activations.py`; with checkpointing a block's input, and one block again
    logits        micro-batch x context x vocabulary, as often as the loss holds them at once
    teacher       4 bytes a parameter, or a share; nothing on devices of its own or in the store

Not all parts are largest at once: the peak is that of the moments of a step (the loss, the
backward pass block by block, the optimizer) and of held-out loss between two steps. Doomed
blocks have weights and activations until they leave, and neither gradients nor optimizer state.
A CPU holds while it loads what is read beside what is made of it. What a process frees in pieces
under 32 MiB stays resident, since glibc keeps it for later, and gradients that come while
activations go do not fit its gaps: there both add up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raydistill.specs.flops import block_sizes, masked_tokens, parameters
from raydistill.specs.memory.activations import FLOAT, HALF, block_bytes, cast_bytes, ends_bytes
from raydistill.specs.memory.moments import (
    SLOTS,
    again,
    backward,
    evaluation_bytes,
    features_bytes,
    loading,
    logits_bytes,
    step_bytes,
    unreturned_bytes,
)
from raydistill.specs.memory.setup import Setup
from raydistill.specs.model import MixedHubConfig, ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialMemory:
    """Bytes of one device by part, each at its most, and the most of all at once."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    teacher: int
    peak: int  # of tensors
    resident: int  # on a CPU, of a process beside what it had before; else the peak

    @property
    def floor(self) -> int:
        """What the optimizer's step needs at the least, whatever the micro-batch."""
        return self.weights + self.gradients + self.optimizer + self.teacher


def trial_memory(setup: Setup) -> TrialMemory:
    """The memory of one device of a trial, in the part of its plan that takes most."""
    return max((_phase(setup, gone) for gone in _phases(setup)), key=lambda memory: memory.peak)


def _phases(setup: Setup) -> Iterator[tuple[int, ...]]:
    """The layers that have left, between two removals."""
    end = setup.recipe.total_tokens
    times = {0, *(drop.at_tokens for drop in setup.plan.drops if drop.at_tokens < end)}
    yield from (setup.plan.due(start) for start in sorted(times))


def _phase(setup: Setup, gone: Sequence[int]) -> TrialMemory:
    model, tokens = setup.model, setup.micro_tokens
    present = [layer for layer in range(model.num_layers) if layer not in gone]
    doomed = set(setup.plan.layers)
    learning = learning_parameters(setup)
    is_replicated = setup.devices > 1 and setup.shares == 1
    gathered = gathered_bytes(model, setup.weight_bytes) if setup.shares > 1 else 0
    weights = setup.weight_bytes * parameters(model, gone) // setup.shares + gathered
    gradients = FLOAT * learning // setup.shares
    optimizer = _optimizer_bytes(setup, learning)
    kept = {n: tokens * _kept_of_block(setup, n, frozen=n in doomed) for n in present}
    casts = _casts(setup, present)
    ends = tokens * ends_bytes(model, setup.numerics, _read_share(setup)) + casts
    if setup.weight_bytes == FLOAT:
        ends += cast_bytes(model.vocab_size * model.dim, setup.numerics)
    logits = logits_bytes(setup)
    activations = sum(kept.values()) + ends + features_bytes(setup, len(present))
    teacher = teacher_bytes(setup)
    buckets = setup.weight_bytes * learning if is_replicated else 0
    static = weights + optimizer + teacher + buckets
    before = gradients if setup.is_accumulating else 0  # of micro-batches before
    peaks = [
        static + before + activations + logits,
        *backward(setup, static, gradients, kept, activations, casts),
        static + gradients + step_bytes(setup, learning),
        static + evaluation_bytes(setup),
        *loading(setup),
    ]
    summed = static + gradients + step_bytes(setup, learning) + unreturned_bytes(setup, activations)
    if not setup.recipe.total_tokens:
        gradients = optimizer = activations = logits = teacher = buckets = 0
        peaks = [weights + evaluation_bytes(setup), *loading(setup)]
        summed = 0
    return TrialMemory(
        weights=weights,
        gradients=gradients + buckets,
        optimizer=optimizer,
        activations=activations + again(setup) * (activations > 0),
        logits=logits,
        teacher=teacher,
        peak=max(peaks),
        resident=max(*peaks, summed) if setup.on_cpu else max(peaks),
    )


def learning_parameters(setup: Setup) -> int:
    """Those with a gradient: all but those of doomed blocks, and of towers that text passes by."""
    towers = setup.model.towers if isinstance(setup.model, MixedHubConfig) else 0
    return parameters(setup.model, setup.plan.layers) - towers


def _optimizer_bytes(setup: Setup, learning: int) -> int:
    """Of the momenta, unless the host has them, and of the float32 copies of bfloat16 weights."""
    away = setup.recipe.optimizer_offload == "cpu" and not setup.on_cpu
    slots = 0 if away else SLOTS[setup.recipe.optimizer]
    return FLOAT * (slots + (setup.weight_bytes < FLOAT)) * learning // setup.shares


def _kept_of_block(setup: Setup, layer: int, *, frozen: bool) -> int:
    """Of a token, until the block's backward pass."""
    if setup.is_checkpointed:
        return setup.numerics.residual_size * setup.model.dim  # its input
    return block_bytes(setup.model, layer, setup.numerics, frozen=frozen)


def _read_share(setup: Setup) -> float:
    context = setup.model.context
    return masked_tokens(context, setup.mask_share) / context


def _casts(setup: Setup, present: Sequence[int]) -> int:
    """Of blocks."""
    if setup.weight_bytes == HALF:
        return 0
    products = sum(block_sizes(setup.model)[n].products for n in present) // setup.shares
    return cast_bytes(products, setup.numerics)


def teacher_bytes(setup: Setup) -> int:
    """The weights of a teacher on this device."""
    if setup.teacher == "none" or setup.teacher.place in ("apart", "cached"):
        return 0
    whole = FLOAT * parameters(setup.teacher.model)
    if setup.teacher.place == "beside" or setup.devices == 1:
        return whole
    return whole // setup.devices + gathered_bytes(setup.teacher.model, FLOAT)


def gathered_bytes(model: ModelConfig, weight_bytes: int) -> int:
    """What sharded weights take while they are whole: the ends, and two blocks of the largest."""
    largest = max((b.parameters + b.tables for b in block_sizes(model)), default=0)
    return weight_bytes * (parameters(model, model.num_layers) + 2 * largest)
