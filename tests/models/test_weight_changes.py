"""Weights of blocks that compute with their own number: another number, the same result."""

import math

import pytest
import torch

from raydistill.core.errors import DataError
from raydistill.models.huggingface.surgery.weight_changes import (
    changed_tensor,
    names_needed,
    what_changes,
)

DIFF_LLAMA = {"model_type": "diffllama"}
GPT2 = {"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}
QK = ("self_attn.lambda_q1", "self_attn.lambda_k1")
OUTPUT = "self_attn.o_proj.weight"
RANDOM = torch.Generator().manual_seed(0)


def drawn(*shape):
    return torch.randn(*shape, generator=RANDOM)


def lambda_init(layer):
    return 0.8 - 0.6 * math.exp(-0.3 * layer)


@pytest.mark.parametrize("first", [drawn(8), torch.zeros(8)])
@pytest.mark.parametrize("second", [drawn(8), torch.zeros(8), 1e-3 * drawn(8)])
def test_diff_llamas_factor_of_the_second_attention_stays(first, second):
    whole = dict(zip(QK, (first, second), strict=True))
    assert all(names_needed(DIFF_LLAMA, name) == QK for name in QK)
    short = [changed_tensor(DIFF_LLAMA, 5, 2, name, whole) for name in QK]
    before = (first @ second).exp() + lambda_init(5)
    after = (short[0] @ short[1]).exp() + lambda_init(2)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


def test_diff_llamas_output_makes_up_for_its_scale():
    weight = drawn(4, 4)
    short = changed_tensor(DIFF_LLAMA, 5, 2, OUTPUT, {OUTPUT: weight})
    torch.testing.assert_close(short * (1 - lambda_init(2)), weight * (1 - lambda_init(5)))


def test_what_no_value_makes_up_for_is_refused():
    whole = dict.fromkeys(QK, torch.full((8,), 2.0)) | {QK[1]: torch.full((8,), -2.0)}
    with pytest.raises(DataError, match="no value makes up"):
        changed_tensor(DIFF_LLAMA, 0, 5, QK[0], whole)


@pytest.mark.parametrize(
    ("name", "shape"), [("attn.c_attn.weight", (4, 12)), ("attn.c_attn.bias", (12,))]
)
def test_gpt2s_queries_take_the_quotient_and_keys_and_values_stay(name, shape):
    whole = drawn(*shape)
    short = changed_tensor(GPT2, 5, 2, name, {name: whole})
    torch.testing.assert_close(short[..., :4] / 3, whole[..., :4] / 6)
    assert short[..., 4:].equal(whole[..., 4:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_changed_tensor_keeps_its_dtype(dtype):
    whole = {name: drawn(8).to(dtype) for name in QK}
    assert changed_tensor(DIFF_LLAMA, 5, 2, QK[0], whole).dtype is dtype


@pytest.mark.parametrize(
    ("fields", "name", "old"),
    [
        (DIFF_LLAMA, OUTPUT, 2),  # its number stays
        (DIFF_LLAMA, "self_attn.q_proj.weight", 5),
        (GPT2, "attn.c_proj.weight", 5),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": False}, "attn.c_attn.bias", 5),
    ],
)
def test_all_else_stays_as_it_is(fields, name, old):
    whole = drawn(12)
    assert changed_tensor(fields, old, 2, name, {name: whole}) is whole


def test_what_changes_is_said():
    assert "lambda_q1 and o_proj" in what_changes(DIFF_LLAMA)
    assert "c_attn" in what_changes(GPT2)
    assert what_changes({"model_type": "llama"}) == ""
