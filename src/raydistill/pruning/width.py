"""A smaller model cut from a teacher's weights, in width and in layers (METHOD 8).

What is kept is decided by the weights alone, so equal weights are cut to equal weights. Kept are

    layers           all but those of location `both`, as in the paper's 3B student
    hidden dims      of the largest sum of squares of all that reads or writes them
    heads            of the largest sum of squares of their queries, keys, values and outputs
    queries, keys    rotary pairs of the nearest frequency to the pairs of narrower heads
    values           of each head those of the largest sum of squares, with their outputs
    feed-forward     units of the largest sum of squares of gate, input and output

Nothing is rescaled: norms are over what is kept, and attention divides by the root of its width.
Shapes: D width, H heads, K width of a head, F feed-forward units; small letters are the student's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from raydistill.models.decoder import Decoder, build
from raydistill.models.families.palm import Block, Palm
from raydistill.models.student import Student
from raydistill.pruning.cut_shape import cut_refusal
from raydistill.specs.locations import pick
from raydistill.specs.model import ModelConfig

LOCATION = "both"  # of the layers that leave


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptUnits:
    """The units of one block that are kept, int64 indices of the teacher's."""

    queries_d: Tensor  # of keys too
    values_d: Tensor
    feed_forward_f: Tensor


def cut(teacher: Decoder, shape: ModelConfig) -> Student:
    """The student of `shape` whose weights are some of the teacher's; `shape` itself is a copy."""
    assert not cut_refusal(shape, teacher.config), shape  # refused when it was planned
    student = build(shape, seed=0)
    assert isinstance(teacher, Palm), teacher
    assert isinstance(student, Palm), student
    with torch.no_grad():
        hidden_d = hidden_dims(teacher, shape.dim)
        _copy_norm(student.final_norm, teacher.final_norm, hidden_d)
        student.embedding.weight.copy_(teacher.embedding.weight[:, hidden_d])
        for target, layer in zip(student.blocks, kept_layers(teacher, shape), strict=True):
            source = teacher.blocks[layer]
            assert isinstance(source, Block), source
            assert isinstance(target, Block), target
            _copy_block(target, source, hidden_d, kept_units(source, shape))
    return Student(student)


def kept_layers(teacher: Decoder, shape: ModelConfig) -> list[int]:
    """The teacher's layers that are kept, ascending."""
    num_layers = teacher.config.num_layers
    count = num_layers - shape.num_layers
    removed = pick(LOCATION, num_layers, count) if count else ()
    return [layer for layer in range(num_layers) if layer not in removed]


def hidden_dims(teacher: Palm, count: int) -> Tensor:
    """The hidden dims that are kept, int64 [count], ascending."""
    squares_D = _squares(teacher.embedding.weight, 0)
    for block in teacher.blocks:
        assert isinstance(block, Block), block
        squares_D += _squares(block.fused_in.weight * block.norm.weight, 0)
        squares_D += _squares(block.fused_out.weight, 1)
    return _largest(squares_D, count)


def kept_units(block: Block, shape: ModelConfig) -> KeptUnits:
    """The queries, keys, values and feed-forward units of a block that are kept."""
    dim, heads = block.split[0], block.num_heads
    queries, keys, values, gate, up = _squares(block.fused_in.weight, 1).split(block.split)
    attended, fed = _squares(block.fused_out.weight, 0).split([dim, 2 * dim])
    values_HK = (values + attended).view(heads, -1)
    by_head = (queries + keys).view(heads, -1).sum(1) + values_HK.sum(1)
    width, narrow = dim // heads, shape.dim // shape.num_heads
    pairs = torch.tensor(rotary_pairs(width, narrow))
    rotary_k = torch.cat([pairs, pairs + width // 2])
    kept_h = _largest(by_head, shape.num_heads).tolist()
    return KeptUnits(
        queries_d=torch.cat([head * width + rotary_k for head in kept_h]),
        values_d=torch.cat([head * width + _largest(values_HK[head], narrow) for head in kept_h]),
        feed_forward_f=_largest(gate + up + fed, 2 * shape.dim),
    )


def rotary_pairs(width: int, narrow: int) -> list[int]:
    """The rotary pairs of a head that turn as fast as those of a narrower one, or nearly so.

    Pair i of a head of width K turns by base^(−2i/K) a position, so pair i of `narrow` is pair
    i·width/narrow of `width`: the same frequency where that is whole, else the nearest.

    >>> rotary_pairs(64, 16), rotary_pairs(32, 24)
    ([0, 4, 8, 12, 16, 20, 24, 28], [0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15])
    """
    return [(2 * pair * width + narrow) // (2 * narrow) for pair in range(narrow // 2)]


def _copy_block(target: Block, source: Block, hidden_d: Tensor, units: KeptUnits) -> None:
    dim = source.split[0]
    rows = torch.cat(
        [
            units.queries_d,
            units.queries_d + dim,
            units.values_d + 2 * dim,
            units.feed_forward_f + 3 * dim,
            units.feed_forward_f + 5 * dim,
        ]
    )
    columns = torch.cat([units.values_d, units.feed_forward_f + dim])
    target.fused_in.weight.copy_(source.fused_in.weight[rows][:, hidden_d])
    target.fused_in.bias.copy_(source.fused_in.bias[rows])
    target.fused_out.weight.copy_(source.fused_out.weight[hidden_d][:, columns])
    target.fused_out.bias.copy_(source.fused_out.bias[hidden_d])
    _copy_norm(target.norm, source.norm, hidden_d)
    _copy_norm(target.query_norm, source.query_norm, units.queries_d)
    _copy_norm(target.key_norm, source.key_norm, units.queries_d)


def _copy_norm(target: torch.nn.LayerNorm, source: torch.nn.LayerNorm, kept: Tensor) -> None:
    target.weight.copy_(source.weight[kept])
    target.bias.copy_(source.bias[kept])


def _squares(weight: Tensor, dim: int) -> Tensor:
    """Sums of squares over a dimension, float64: its rounding decides no order."""
    return weight.double().square().sum(dim)


def _largest(importance: Tensor, count: int) -> Tensor:
    """The places of the largest, ascending; of equal ones the first."""
    order = torch.argsort(importance, descending=True, stable=True)
    return order[:count].sort().values
