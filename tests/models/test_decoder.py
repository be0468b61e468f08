"""The paper's decoder against a slow, obvious one; its size, causality and determinism."""

import math

import pytest
import torch

from raydistill.core.parts import MODEL_FAMILY, part_names
from raydistill.models.decoder import build
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.shape.families import is_causal

TINY = ModelConfig(family="palm", num_layers=3, dim=16, num_heads=2, vocab_size=37, context=12)


def layer_norm(x, norm):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias


def rotated(x_K, position):
    """One head's vector at one position, pair by pair (k, k + K/2)."""
    half = len(x_K) // 2
    turned = [None] * len(x_K)
    for k in range(half):
        angle = position * 10_000.0 ** (-2 * k / len(x_K))
        turned[k] = x_K[k] * math.cos(angle) - x_K[k + half] * math.sin(angle)
        turned[k + half] = x_K[k + half] * math.cos(angle) + x_K[k] * math.sin(angle)
    return torch.stack(turned)


def slow_logits(model, tokens_T):
    """One sequence, one position and one head at a time, with an explicit softmax."""
    dim, heads = model.config.dim, model.config.num_heads
    width = dim // heads
    x_TD = model.embedding.weight[tokens_T]
    for block in model.blocks:
        fused = layer_norm(x_TD, block.norm) @ block.fused_in.weight.T + block.fused_in.bias
        q, k, v, gate, up = fused.split([dim, dim, dim, 2 * dim, 2 * dim], dim=-1)
        q, k = layer_norm(q, block.query_norm), layer_norm(k, block.key_norm)
        rows = []
        for t in range(len(tokens_T)):
            row = []
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                query = rotated(q[t, part], t)
                dots = [query @ rotated(k[s, part], s) / width**0.5 for s in range(t + 1)]
                weights = torch.stack(dots).exp()
                weights = weights / weights.sum()
                row.append(sum(weights[s] * v[s, part] for s in range(t + 1)))
            rows.append(torch.cat(row))
        feed_forward = gate * torch.sigmoid(gate) * up
        both = torch.cat([torch.stack(rows), feed_forward], dim=-1)
        x_TD = x_TD + both @ block.fused_out.weight.T + block.fused_out.bias
    return layer_norm(x_TD, model.final_norm) @ model.embedding.weight.T


def shaken(config, seed):
    """A model none of whose parameters is at its initial 0 or 1."""
    model = build(config, seed)
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data += 0.2 * torch.randn(p.shape, generator=generator)
    return model


def test_outputs_and_gradients_equal_the_slow_reference():
    fast, slow = shaken(TINY, 1), shaken(TINY, 1)
    tokens_T = torch.tensor([3, 36, 0, 5, 5, 11, 20, 1])
    ours, theirs = fast(tokens_T[None])[0], slow_logits(slow, tokens_T)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.logsumexp(-1).sum().backward()
    theirs.logsumexp(-1).sum().backward()
    for (name, p), q in zip(fast.named_parameters(), slow.parameters(), strict=True):
        scale = q.grad.abs().max().item()
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-5 * max(scale, 1), msg=name)


@pytest.mark.parametrize(
    ("dim", "num_layers", "parameters"),
    [
        (1024, 24, 303_515_648),
        (1024, 12, 177_514_496),
        (2048, 24, 1_110_347_776),
        (2048, 12, 606_687_232),
    ],
)
def test_the_papers_models_have_the_parameters_that_its_flops_imply(dim, num_layers, parameters):
    config = ModelConfig(
        family="palm", num_layers=num_layers, dim=dim, num_heads=16, vocab_size=50_304, context=8
    )
    with torch.device("meta"):
        model = build(config, 0)
    assert sum(p.numel() for p in model.parameters()) == parameters


def config_of(family):
    shape = {"num_layers": 2, "dim": 16, "num_heads": 2, "vocab_size": 37, "context": 12}
    if family == "palm":
        return ModelConfig(family=family, **shape)
    return FactorisedConfig(family=family, embedding=8, feed_forward=24, **shape)


@pytest.mark.parametrize("family", sorted({*part_names(MODEL_FAMILY)} - {"hub"}))
def test_a_family_of_ours_sees_the_future_where_its_file_says_so(family):  # stock: test_hub.py
    model = shaken(config_of(family), 0)
    embedded = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        embedded.append(output)

    model.embedding.register_forward_hook(keep)
    model(torch.arange(10)[None])[0, 4].sum().backward()
    past_T, future_T = embedded[0].grad[0].abs().sum(-1).split([5, 5])
    assert past_T.min() > 0
    assert future_T.max() == 0 if is_causal(family) else future_T.min() > 0


@pytest.mark.parametrize("family", [name for name in part_names(MODEL_FAMILY) if name != "hub"])
def test_logits_at_some_positions_are_those_of_all_and_none_else_gets_a_gradient(family):
    model, tokens_BT = shaken(config_of(family), 0), torch.arange(20).view(2, 10)
    at_BM = torch.tensor([[0, 9, 4], [3, 1, 1]])
    hidden, head = [], model.head

    def watched(hidden_D):
        hidden_D.retain_grad()
        hidden.append(hidden_D)
        return head(hidden_D)

    every_BTV = model(tokens_BT)
    model.head = watched
    chosen_BMV = model(tokens_BT, at_BM)
    expected = every_BTV.gather(1, at_BM[..., None].expand(-1, -1, every_BTV.shape[-1]))
    torch.testing.assert_close(chosen_BMV, expected)
    chosen_BMV[:, 1:].square().sum().backward()
    read_BMD = hidden[0]
    assert read_BMD.shape == (2, 3, 16)
    assert read_BMD.grad[:, 0].abs().max() == 0
    assert read_BMD.grad[:, 1:].abs().amax(-1).min() > 0


def test_equal_seeds_give_equal_weights_and_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, second = build(TINY, 7), build(TINY, 7)
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(torch.get_rng_state(), before)


def test_attention_gets_one_precision_also_where_norms_give_float32(monkeypatch):
    """As under autocast on a GPU; flash-attn takes one half precision or nothing."""
    from raydistill.models.families import palm

    class InFloat32(torch.nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.float())

    seen = []

    def attend(query, key, value, _visible):
        seen.append({x.dtype for x in (query, key, value)})
        return value

    monkeypatch.setattr(palm, "attend", attend)
    block = palm.Block(16, 2).to(torch.bfloat16)
    block.query_norm, block.key_norm = InFloat32(16), InFloat32(16)
    block(torch.zeros(1, 4, 16, dtype=torch.bfloat16), palm.rotary(4, 8))
    assert seen == [{torch.bfloat16}]
