"""What a block keeps for its backward pass: against what autograd saves."""

import pytest
import torch

from raydistill.models.decoder import build
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.specs.flops import block_sizes
from raydistill.specs.memory.activations import Numerics, block_bytes, cast_bytes, ends_bytes
from raydistill.specs.model import FactorisedConfig, ModelConfig
from support.hub_models import FAMILIES, save_model

WINDOWS = 2
OURS = {
    "encoder": FactorisedConfig(
        family="encoder", num_layers=3, dim=64, num_heads=4, vocab_size=40, context=128,
        embedding=32, feed_forward=200,
    ),
    "palm": ModelConfig(
        family="palm", num_layers=3, dim=64, num_heads=4, vocab_size=40, context=128
    ),
}  # fmt: skip
BY_FAMILY = pytest.mark.parametrize("family", sorted(OURS))
BY_PRECISION = pytest.mark.parametrize("precision", ["bfloat16", "float32"])


def saved_bytes(model, precision, *, frozen=0):
    """Bytes that autograd saves of a forward pass up to the head, without parameters."""
    for block in model.blocks[:frozen]:
        block.requires_grad_(False)
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    tokens_BT = torch.zeros(WINDOWS, model.config.context, dtype=torch.long)
    mixed = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mixed:
        hidden_BTD = model.hidden(tokens_BT)
    del hidden_BTD
    return sum(s.nbytes() for key, s in storages.items() if key not in own)


@BY_FAMILY
@BY_PRECISION
@pytest.mark.parametrize("frozen", [0, 2])
def test_what_autograd_saves(family, precision, frozen):
    config, numerics = OURS[family], Numerics(precision=precision, on_cpu=True)
    tokens = WINDOWS * config.context
    blocks = [block_bytes(config, n, numerics, frozen=n < frozen) for n in range(3)]
    casts = cast_bytes(sum(block.products for block in block_sizes(config)), numerics)
    expected = tokens * (sum(blocks) + ends_bytes(config, numerics, read_share=0)) + casts
    saved = saved_bytes(build(config, seed=0), precision, frozen=frozen)
    assert expected == pytest.approx(saved, rel=0.06)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_autograd_saves_of_a_model_of_transformers(family, tmp_path):
    config = read_checkpoint(str(save_model(tmp_path, family)), "main", 32).model
    numerics = Numerics(precision="float32", on_cpu=True)
    blocks = [block_bytes(config, n, numerics) for n in range(config.num_layers)]
    expected = WINDOWS * config.context * (sum(blocks) + ends_bytes(config, numerics, read_share=0))
    saved = saved_bytes(build(config, seed=0), "float32")
    assert expected == pytest.approx(saved, rel=0.15)


@BY_PRECISION
def test_on_a_gpu_norms_read_float32(precision):
    on_cpu, on_gpu = (
        block_bytes(OURS["palm"], 0, Numerics(precision=precision, on_cpu=cpu))
        for cpu in (True, False)
    )
    assert on_gpu - on_cpu == (8 * 64 if precision == "bfloat16" else 0)
