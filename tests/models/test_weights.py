"""Weights as the store keeps them: all that a model's own file holds."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from raydistill.core.errors import DataError
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained, read_base
from raydistill.models.student import Student
from raydistill.models.weights import load_weights, save_weights
from raydistill.storage.store import Store
from support.hub_models import fresh, save_tokenizer, write_folder

TOKENS_BT = torch.arange(40)[None]


@pytest.fixture(scope="module")
def factors(tmp_path_factory):
    """A Gemma 4 whose blocks have each a factor of its own, which is a buffer."""
    folder = tmp_path_factory.mktemp("gemma4")
    sizes = {"head_dim": 8, "global_head_dim": 8, "num_kv_shared_layers": 0}
    kinds = ["sliding_attention", "full_attention"] * 3
    model = fresh(
        "gemma4_text", **GEMMA4, **sizes, layer_types=kinds, hidden_size_per_layer_input=0
    )
    for number, block in enumerate(model.model.layers):
        block.layer_scalar.fill_(1 + 0.3 * number)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


GEMMA4 = {
    "vocab_size": 2048, "max_position_embeddings": 64, "hidden_size": 32, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
    "sliding_window": 16, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip


@torch.no_grad()
def stock_logits(folder):
    return AutoModelForCausalLM.from_pretrained(folder)(TOKENS_BT).logits


@torch.no_grad()
def test_a_stored_base_has_the_buffers_of_its_checkpoint(factors, tmp_path):
    store = Store(tmp_path / "storage")
    base = load_weights(store.path("bases", read_base(str(factors), "main", 0, store)))
    logits = base.model(TOKENS_BT)
    assert torch.allclose(logits, stock_logits(factors), atol=1e-5)
    write_folder(base.model, factors, tmp_path / "exported")
    assert torch.equal(stock_logits(tmp_path / "exported"), stock_logits(factors))


@torch.no_grad()
def test_a_student_keeps_the_buffers_of_the_layers_that_stay(factors, tmp_path):
    student = Student(load_pretrained(read_checkpoint(str(factors), "main")))
    student.remove((1, 2))
    save_weights(tmp_path, student)
    factors_left = load_weights(tmp_path).named_tensors()
    assert {n: round(b.item(), 4) for n, b in factors_left.items() if "layer_scalar" in n} == {
        f"blocks.{layer}.layer_scalar": round(1 + 0.3 * layer, 4) for layer in (0, 3, 4, 5)
    }
    assert torch.equal(load_weights(tmp_path).model(TOKENS_BT), student.model(TOKENS_BT))


def test_weights_without_a_buffer_are_refused(factors, tmp_path):
    """As an older storage has them: with the factors of a fresh model it would be another."""
    student = Student(load_pretrained(read_checkpoint(str(factors), "main")))
    student.named_tensors = student.named_parameters
    save_weights(tmp_path, student)
    with pytest.raises(DataError, match=r"misses 6 tensors: blocks\.0\.layer_scalar"):
        load_weights(tmp_path)
