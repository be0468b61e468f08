"""Blocks computed again in the backward pass: what autograd keeps, and that no bit changes."""

import json

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from raydistill.models.activation_checkpointing import checkpointed
from raydistill.models.decoder import build
from raydistill.models.families.hub import HubDecoder
from raydistill.specs.model import HubConfig
from support import hub_models, tiny

WINDOWS, LENGTH = 3, 8


def kept_and_gradients(model, activation_checkpointing):
    """The bytes that a backward pass keeps, weights aside, and the gradients of the weights."""
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # held, so no address comes twice
        return tensor

    tokens_BT = torch.arange(WINDOWS * LENGTH).view(WINDOWS, LENGTH) % 32
    torch.manual_seed(0)  # for dropout
    with checkpointed(model.blocks, activation_checkpointing):
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(tokens_BT).log_softmax(-1)[..., 0].sum()
        size_bytes = sum(nbytes for nbytes, _ in kept.values())
        loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    return size_bytes, gradients


def test_of_a_block_its_input_alone_is_kept():
    """A block more costs B·T·D numbers; without checkpointing it costs many times that."""
    state_bytes = 4 * WINDOWS * LENGTH * tiny.CONFIG.dim
    model = build(tiny.CONFIG, 0)
    costs = {}
    for how in ("none", "blocks"):
        model.use_blocks(list(build(tiny.CONFIG, 0).blocks))
        whole, _ = kept_and_gradients(model, how)
        model.use_blocks(list(model.blocks)[:-2])
        costs[how] = whole - kept_and_gradients(model, how)[0]
    assert costs["blocks"] == 2 * state_bytes
    assert costs["none"] > 10 * 2 * state_bytes


@pytest.mark.parametrize("family", ["palm", "llama", "gemma2", "gpt2", "olmo3"])
def test_gradients_are_the_same_bit_for_bit(family):
    if family == "palm":
        model = build(tiny.CONFIG, 0)
    else:
        stock = hub_models.fresh(family)
        sizes = {"num_layers": 6, "dim": 32, "num_heads": 4, "vocab_size": 2048, "context": 64}
        counts = {"block_parameters": 1, "block_products": 1, "other_parameters": 1}
        about = json.dumps(stock.config.to_dict(), default=str)
        config = HubConfig(family="hub", config=about, attention_width=32, **sizes, **counts)
        model = HubDecoder(config, stock)
    plain_bytes, plain = kept_and_gradients(model, "none")
    fewer_bytes, again = kept_and_gradients(model, "blocks")
    assert fewer_bytes < plain_bytes
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_afterwards_the_blocks_are_as_they_were():
    model = build(tiny.CONFIG, 0)
    with checkpointed(model.blocks, "blocks"):
        model(torch.zeros(1, 8, dtype=torch.long))
    assert all("forward" not in vars(block) for block in model.blocks)
