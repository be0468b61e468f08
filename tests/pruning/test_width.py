"""A model cut from a larger one: what is kept, and that the rest is not read."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from raydistill.models.decoder import build
from raydistill.models.families.palm import rotary
from raydistill.pruning.cut_shape import axis_sparsity
from raydistill.pruning.width import cut, hidden_dims, kept_layers, kept_units, rotary_pairs
from raydistill.specs.flops import block_parameters
from raydistill.specs.model import ModelConfig

TEACHER = ModelConfig(family="palm", num_layers=6, dim=32, num_heads=4, vocab_size=40, context=8)
IDS = torch.randint(0, 40, (2, 8), generator=torch.Generator().manual_seed(1))


def shaped(**shape):
    return dataclasses.replace(TEACHER, **shape)


@pytest.fixture
def teacher():
    """Norms and biases are not those of a fresh model, which are ones and zeros."""
    model = build(TEACHER, seed=3)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(4)
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def test_its_own_shape_is_the_teacher_to_the_bit(teacher):
    student = cut(teacher, TEACHER)
    assert student.kept == list(range(6))
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(student.model.state_dict()[name], tensor), name
    assert student.model.embedding.weight is not teacher.embedding.weight


def masked_norm(x, norm, kept):
    """LayerNorm over the dims that are kept; 0 elsewhere."""
    mean = (x * kept).sum(-1, keepdim=True) / kept.sum()
    variance = ((x - mean).square() * kept).sum(-1, keepdim=True) / kept.sum()
    return ((x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias) * kept


def masked_logits(teacher, shape):
    """The whole teacher with what is not kept multiplied by 0: no slice, no smaller matrix."""
    dim, heads = TEACHER.dim, TEACHER.num_heads
    width, narrow = dim // heads, shape.dim // shape.num_heads

    def mask(size, kept):
        return torch.zeros(size).index_fill(0, kept, 1.0)

    hidden = mask(dim, hidden_dims(teacher, shape.dim))
    cos, sin = rotary(IDS.shape[1], width)
    x = teacher.embedding(IDS) * hidden
    for layer in kept_layers(teacher, shape):
        block = teacher.blocks[layer]
        units = kept_units(block, shape)
        queries, values = mask(dim, units.queries_d), mask(dim, units.values_d)
        read = block.fused_in(masked_norm(x, block.norm, hidden))
        query, key, value, gate, up = read.split(block.split, dim=-1)
        query, key = (
            masked_norm(each, norm, queries).view(2, 8, heads, width).transpose(1, 2)
            for each, norm in ((query, block.query_norm), (key, block.key_norm))
        )
        query, key = (
            each * cos + torch.cat([-each[..., width // 2 :], each[..., : width // 2]], -1) * sin
            for each in (query, key)
        )
        weights = (query @ key.transpose(-1, -2) / narrow**0.5).masked_fill(
            torch.ones(8, 8).triu(1) > 0, float("-inf")
        )
        value = (value * values).view(2, 8, heads, width).transpose(1, 2)
        attended = (weights.softmax(-1) @ value).transpose(1, 2).flatten(2)
        fed = F.silu(gate) * up * mask(2 * dim, units.feed_forward_f)
        x = x + block.fused_out(torch.cat([attended, fed], -1)) * hidden
    return masked_norm(x, teacher.final_norm, hidden) @ teacher.embedding.weight.T


@pytest.mark.parametrize(
    "shape",
    [
        shaped(dim=16),  # half of every head
        shaped(dim=24, num_heads=3),  # whole heads leave
        shaped(dim=8, num_heads=2),
        shaped(num_layers=3),
        shaped(dim=16, num_layers=2),
    ],
    ids=lambda shape: f"{shape.num_layers}x{shape.dim}/{shape.num_heads}",
)
def test_a_cut_model_computes_what_the_teacher_does_without_the_rest(teacher, shape):
    student = cut(teacher, shape).model
    assert student.config == shape
    torch.testing.assert_close(student(IDS), masked_logits(teacher, shape), rtol=1e-4, atol=1e-5)


def test_what_is_all_zero_leaves_first(teacher):
    """Eight hidden dims, a head, two feed-forward units and two values of each head are nothing."""
    with torch.no_grad():
        teacher.embedding.weight[:, 8:16] = 0
        for block in teacher.blocks:
            block.fused_in.weight[:, 8:16] = 0
            block.fused_out.weight[8:16] = 0
        first = teacher.blocks[0]
        for rows in (range(8), range(32, 40), range(64, 72)):  # head 0
            first.fused_in.weight[list(rows)] = 0
        first.fused_out.weight[:, :8] = 0
        first.fused_in.weight[[96 + 5, 160 + 5]] = 0  # unit 5: gate and input
        first.fused_out.weight[:, 32 + 5] = 0
    assert hidden_dims(teacher, 24).tolist() == [*range(8), *range(16, 32)]
    units = kept_units(first, shaped(dim=24, num_heads=3))
    assert units.queries_d.tolist() == units.values_d.tolist() == list(range(8, 32))
    assert 5 not in units.feed_forward_f.tolist()
    assert len(units.feed_forward_f) == 48


def test_rotary_pairs_keep_their_frequency_where_widths_divide():
    for narrow in (8, 16, 32, 64):
        _, sin_wide = rotary(50, 64)
        _, sin_narrow = rotary(50, narrow)
        pairs = rotary_pairs(64, narrow)
        torch.testing.assert_close(sin_wide[:, pairs], sin_narrow[:, : narrow // 2])


@pytest.mark.parametrize(("width", "narrow"), [(24, 10), (64, 62), (16, 16), (32, 2), (48, 34)])
def test_every_rotary_pair_is_kept_once_at_most(width, narrow):
    pairs = rotary_pairs(width, narrow)
    assert pairs == sorted(set(pairs))
    assert len(pairs) == narrow // 2
    assert 0 <= pairs[0] <= pairs[-1] < width // 2


def test_depth_leaves_from_both_ends_as_in_the_paper():
    """32 to 24 layers: four off each end, where the first and the last one stay here."""
    deep = build(ModelConfig(family="palm", num_layers=32, dim=4, num_heads=1, vocab_size=8,
                             context=4), seed=0)  # fmt: skip
    kept = kept_layers(deep, dataclasses.replace(deep.config, num_layers=24))
    assert kept == [0, *range(5, 27), 31]


def test_the_sparsity_of_an_axis_leaves_that_of_both_together():
    """The paper's rule (repo GeneZC/MiniMA): 60 % of a block leave with 36.754 % of each axis."""
    assert axis_sparsity(0.6) == pytest.approx(0.36754, abs=5e-6)
    assert axis_sparsity(0.84) == pytest.approx(0.6)
    width = 4096
    smaller = round(width * (1 - axis_sparsity(0.6)))
    assert block_parameters(smaller) / block_parameters(width) == pytest.approx(0.4, abs=1e-3)


def test_equal_weights_are_cut_to_equal_weights_and_ties_to_the_first_units():
    model = build(TEACHER, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    assert hidden_dims(model, 8).tolist() == list(range(8))
    assert kept_units(model.blocks[0], shaped(dim=16)).feed_forward_f.tolist() == list(range(32))
