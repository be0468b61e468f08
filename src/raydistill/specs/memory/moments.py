"""What a device holds beside weights, gradients and optimizer, at the moments of a step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from raydistill.specs.flops import block_sizes, masked_tokens, parameters, vocabulary_parameters
from raydistill.specs.memory.activations import FLOAT, block_bytes, passing_bytes
from raydistill.specs.memory.setup import Setup
from raydistill.specs.model import FactorisedConfig, HubConfig

SLOTS = {"lion": 1, "adamw": 2}  # float32 numbers a parameter between steps
# Logits and what is as large, at once: of cross-entropy its log-probabilities and two gradients;
# of the KL to all ids the student's, the teacher's and one gradient (`distillation/divergence.py`).
_OF_CROSS_ENTROPY, _OF_KL = 3, 3
_CHUNKS, _CPU_CHUNK, _GPU_CHUNK = 5, 1 << 17, 1 << 26  # of the KL: temporaries, their logits
_PASSING = 5  # gradients on their way through a block are a fifth of what it keeps
_LARGEST_KEPT = 32 * 2**20  # bytes that glibc does not give back at once
_EVALUATION_TOKENS = 4096  # held-out tokens that a model reads at once


def again(setup: Setup) -> int:
    """Activations of the block that is computed again for its backward pass."""
    if not setup.is_checkpointed:
        return 0
    layers = range(setup.model.num_layers)
    return setup.micro_tokens * max(block_bytes(setup.model, n, setup.numerics) for n in layers)


def logits_bytes(setup: Setup) -> int:
    """At the loss: all numbers as many as logits that are there at once."""
    numerics, read = setup.numerics, setup.read_logits
    cross_entropy = _OF_CROSS_ENTROPY * FLOAT * read
    if setup.answer == "none":
        return cross_entropy
    if setup.teacher != "none" and setup.teacher.place == "cached":
        return cross_entropy + FLOAT * read  # and the gradient of the KL to what is known
    if setup.answer == "whole":  # a loss of one's own, with all log-probabilities in float32
        return (2 * numerics.size + 4 * FLOAT) * read
    chunk = min(read, _CPU_CHUNK if setup.on_cpu else _GPU_CHUNK)
    return _OF_KL * numerics.size * read + _CHUNKS * FLOAT * chunk


def features_bytes(setup: Setup, blocks: int) -> int:
    """Hidden states of the teacher's blocks, which a loss compares with the student's."""
    if not setup.keeps_features or setup.teacher == "none":
        return 0
    states = blocks + setup.teacher.model.num_layers
    return FLOAT * setup.micro_tokens * setup.model.dim * states


def backward(
    setup: Setup,
    static: int,
    gradients: int,
    kept: Mapping[int, int],
    activations: int,
    casts: int,
) -> Iterator[int]:
    """Bytes in the backward pass of each block, from the last: gradients come, activations go.

    Args:
        setup: of the trial.
        static: bytes that stay.
        gradients: of all that learns.
        kept: activations of each block that is there, by layer.
        activations: all of them, those of the ends, and `casts`.
        casts: copies of the blocks' weights in bfloat16.
    """
    is_accumulating, sizes = setup.is_accumulating, block_sizes(setup.model)
    blocks = {n: sizes[n].parameters for n in kept if n not in setup.plan.layers}
    come = gradients if is_accumulating else gradients - _of_blocks(setup, [*blocks.values()])
    if setup.is_checkpointed and kept:  # copies are made again, for one block at a time
        activations -= casts * (len(kept) - 1) // len(kept)
    for layer in reversed([*kept]):
        own = setup.micro_tokens * block_bytes(setup.model, layer, setup.numerics)
        again = own - kept[layer] if setup.is_checkpointed else 0
        if not is_accumulating and layer in blocks:
            come += _of_blocks(setup, [blocks[layer]])
        yield static + come + activations + again + own // _PASSING
        activations -= kept[layer]
    is_tied = not isinstance(setup.model, FactorisedConfig | HubConfig)
    yield static + gradients + is_tied * FLOAT * vocabulary_parameters(setup.model)


def _of_blocks(setup: Setup, sizes: Sequence[int]) -> int:
    return FLOAT * sum(sizes) // setup.shares


def step_bytes(setup: Setup, learning: int) -> int:
    """Temporaries of the optimizer: of one tensor after another; of AdamW on a GPU of all."""
    if (
        setup.recipe.optimizer == "adamw"
        and not setup.on_cpu
        and setup.recipe.optimizer_offload == "none"
    ):
        return FLOAT * learning // setup.shares
    d = setup.model.dim
    in_block = 7 * d * d  # of a PaLM block; about the largest of others
    largest = FLOAT * max(setup.model.vocab_size * d, in_block) // setup.shares
    return SLOTS[setup.recipe.optimizer] * largest


def unreturned_bytes(setup: Setup, activations: int) -> int:
    """Of activations and logits, what stays resident in a process on a CPU once it is freed.

    Tensors of more than 32 MiB are mappings of their own, which the system gets back (mallopt(3),
    M_MMAP_THRESHOLD, whose dynamic value goes up to that).
    """
    hidden = setup.numerics.size * setup.micro_tokens * setup.model.dim
    blocks = activations if 2 * hidden <= _LARGEST_KEPT else 0
    is_kept = setup.numerics.size * setup.read_logits <= _LARGEST_KEPT
    return blocks + (logits_bytes(setup) if is_kept else 0)


def evaluation_bytes(setup: Setup) -> int:
    """Held-out windows, without gradients: logits, their logarithms, and what passes a block."""
    context = setup.model.context
    most = max(1, _EVALUATION_TOKENS // context)
    windows = min(most, setup.evaluation_windows)
    read = windows * masked_tokens(context, setup.mask_share) * setup.model.vocab_size
    whole = replace(setup.numerics, precision="float32")
    passing = windows * context * passing_bytes(setup.model, whole)
    return max(2 * FLOAT * read, passing)


def loading(setup: Setup) -> Iterator[int]:
    """On a CPU: the student's weights as read and as made of them, then the teacher's."""
    if not setup.on_cpu:
        return
    student = setup.weight_bytes * parameters(setup.model)
    yield 2 * student
    if setup.teacher != "none" and setup.teacher.place in ("beside", "sharded"):
        yield student + 2 * FLOAT * parameters(setup.teacher.model)
