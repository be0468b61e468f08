"""The encoder and its causal twin: torch's own layers, the paper's parameters, weights on disk."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from raydistill.core.errors import UsageError
from raydistill.models.decoder import build
from raydistill.models.families.encoder import Block
from raydistill.models.student import Student
from raydistill.models.weights import config_of, load_weights, save_weights
from raydistill.specs.flops import parameters
from raydistill.specs.model import FactorisedConfig, ModelConfig

TINY = FactorisedConfig(
    family="encoder", num_layers=3, dim=16, num_heads=2, vocab_size=37, context=12,
    embedding=8, feed_forward=24,
)  # fmt: skip
TWIN = replace(TINY, family="post-norm")
both = pytest.mark.parametrize("config", [TINY, TWIN], ids=lambda config: config.family)


def shaken(config):
    """A model none of whose parameters is at its initial 0 or 1."""
    model = build(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.data += 0.2 * torch.randn(p.shape, generator=generator)
    return model


@pytest.mark.parametrize(
    ("widths", "num_layers", "expected"),
    [
        ((32, 32, 128), 1, 1_254_882),
        ((32, 32, 128), 2, 1_267_586),
        ((128, 32, 256), 2, 3_125_122),
        ((256, 128, 512), 1, 7_601_346),
        ((128, 256, 1024), 8, 13_753_922),
        ((256, 256, 1024), 8, 16_237_122),
    ],
)
def test_the_papers_models_have_their_parameters(widths, num_layers, expected):
    """Honey's, by `LanModelConfig`: widths of the embedding, the hidden state, the feed-forward."""
    embedding, dim, feed_forward = widths
    config = FactorisedConfig(
        family="encoder", num_layers=num_layers, dim=dim, num_heads=2, vocab_size=19_010,
        context=128, embedding=embedding, feed_forward=feed_forward,
    )  # fmt: skip
    with torch.device("meta"):
        model = build(config, seed=0)
    assert sum(p.numel() for p in model.parameters()) == parameters(config) == expected


@both
def test_a_block_is_torchs_layer_with_the_norms_after(config):
    block = shaken(config).blocks[0]
    assert isinstance(block, Block)
    layer = nn.TransformerEncoderLayer(
        config.dim, config.num_heads, config.feed_forward, dropout=0.0, activation="gelu",
        batch_first=True,
    )  # fmt: skip
    theirs = [
        (layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias),
        *((part.weight, part.bias) for part in (
            layer.self_attn.out_proj, layer.norm1, layer.linear1, layer.linear2, layer.norm2,
        )),
    ]  # fmt: skip
    ours = [
        block.attention_in, block.attention_out, block.attention_norm, block.feed_forward_in,
        block.feed_forward_out, block.feed_forward_norm,
    ]  # fmt: skip
    with torch.no_grad():
        for (weight, bias), part in zip(theirs, ours, strict=True):
            weight.copy_(part.weight)
            bias.copy_(part.bias)
    x_BTD = torch.randn(3, 7, config.dim)
    future = None if config is TINY else torch.ones(7, 7).triu(1) > 0
    torch.testing.assert_close(block(x_BTD), layer(x_BTD, src_mask=future), rtol=1e-5, atol=1e-5)


@both
def test_a_forward_pass_is_the_parts_in_their_order(config):
    model, tokens_BT = shaken(config), torch.tensor([[3, 36, 0, 5, 5, 11, 20]])
    x = model.embedding.weight[tokens_BT] + model.positions.weight[:7] + model.types.weight[0]
    x = model.projection_norm(model.projection(model.embedding_norm(x)))
    for block in model.blocks:
        x = block(x)
    logits = model.head_out(model.head_norm(nn.functional.gelu(model.head_in(x))))
    torch.testing.assert_close(model(tokens_BT), logits, rtol=0, atol=0)


@both
def test_attention_is_what_the_block_mixes_values_with(config):
    model = shaken(config)
    block, x_BTD = model.blocks[1], torch.randn(2, 5, config.dim)
    weights_BHTT = model.attention(1, x_BTD).exp()
    if config is TWIN:
        weights_BHTT = weights_BHTT.tril()
    torch.testing.assert_close(weights_BHTT.sum(-1), torch.ones(2, config.num_heads, 5))
    value_BTD = block.attention_in(x_BTD).chunk(3, dim=-1)[2]
    value_BTHK = value_BTD.view(2, 5, config.num_heads, -1)
    mixed_BTD = torch.einsum("bhts,bshk->bthk", weights_BHTT, value_BTHK).flatten(2)
    y_BTD = block.attention_norm(x_BTD + block.attention_out(mixed_BTD))
    fed_BTD = block.feed_forward_out(nn.functional.gelu(block.feed_forward_in(y_BTD)))
    torch.testing.assert_close(block(x_BTD), block.feed_forward_norm(y_BTD + fed_BTD))


@both
def test_texts_in_one_row_are_read_as_if_alone(config):
    model = shaken(config)
    texts = [torch.tensor([[1, 2, 3]]), torch.tensor([[9, 8, 7, 6]])]
    own_TT = torch.block_diag(torch.ones(3, 3), torch.ones(4, 4)) > 0
    visible_BTT = (own_TT if config is TINY else own_TT.tril())[None]
    positions_BT = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    packed_BTD = model.hidden(torch.cat(texts, dim=1), positions_BT, visible_BTT)
    alone_BTD = torch.cat([model.hidden(text_BT) for text_BT in texts], dim=1)
    torch.testing.assert_close(packed_BTD, alone_BTD, rtol=1e-5, atol=1e-5)


@both
def test_weights_come_back_with_their_shape_and_without_a_layer(config, tmp_path):
    student = Student(shaken(config))
    student.remove([1])
    save_weights(tmp_path, student)
    loaded = load_weights(tmp_path)
    assert config_of(tmp_path) == config
    assert type(loaded.model.config) is FactorisedConfig
    tokens_BT = torch.arange(10)[None]
    torch.testing.assert_close(loaded.model(tokens_BT), student.model(tokens_BT), rtol=0, atol=0)
    left = sum(p.numel() for p in loaded.model.parameters())
    assert left == parameters(config, removed=[1])


def test_what_sees_all_generates_nothing_and_its_twin_does():
    tokens_BT = torch.arange(3)[None]
    with pytest.raises(UsageError, match="a model of family encoder generates no text"):
        build(TINY, seed=0).generate(tokens_BT, 2, lambda _: False)
    assert len(build(TWIN, seed=0).generate(tokens_BT, 2, lambda _: False)[0]) == 2


def test_a_shape_without_its_widths_is_refused():
    shape = {"num_layers": 1, "dim": 16, "num_heads": 2, "vocab_size": 9, "context": 4}
    with pytest.raises(UsageError, match="family 'encoder' needs a FactorisedConfig"):
        build(ModelConfig(family="encoder", **shape), seed=0)
    with pytest.raises(UsageError, match="'palm' has no embedding and feed_forward of its own"):
        FactorisedConfig(family="palm", embedding=16, feed_forward=32, **shape)
    with pytest.raises(UsageError, match="3 heads do not divide a width of 16"):
        replace(TINY, num_heads=3)
