"""What quantised tensors mean, against a plain computation of each value."""

import pytest
import torch
from safetensors.torch import save_file

from raydistill.core.errors import DataError
from raydistill.models.huggingface.quantised.dequantise import (
    Dequantised,
    stored_tensors,
    written_tensors,
)
from raydistill.models.huggingface.quantised.forms import Form

BLOCKS = Form(method="fp8", words="", is_read=True, block=(128, 128))


@pytest.fixture
def values(tmp_path):
    """`values(tensors)`: the tensors that are written for these, and what became of them."""

    def read(tensors, form=BLOCKS):
        file, done = tmp_path / "model.safetensors", Dequantised()
        save_file({name: t.contiguous() for name, t in tensors.items()}, file)
        written = {}
        for tensor in written_tensors(stored_tensors([file]), form, done):
            pieces = torch.cat([piece.reshape(-1) for piece in tensor.pieces()])
            assert pieces.dtype == tensor.dtype
            written[tensor.name] = pieces.reshape(tensor.shape)
        return written, done

    return read


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("shape", "grid", "block", "ragged"),
    [
        ((256, 384), (2, 3), (128, 128), False),
        ((64, 96), (1, 1), (128, 128), False),  # smaller than a block
        ((321, 200), (3, 2), (128, 128), True),  # 3 x 107 would be even, and is wrong
        ((576, 256), (5, 2), (128, 128), True),  # DeepSeek-V3's kv_a_proj_with_mqa
        ((6, 64), (6, 2), (1, 32), False),  # experts of finer blocks than the config says
        ((6, 64), (6, 1), (1, 64), False),
        ((3, 256, 128), (3, 2, 1), (128, 128), False),
    ],
)
def test_each_value_is_multiplied_with_the_scale_of_its_block(values, shape, grid, block, ragged):
    weight, scales = drawn(*shape), torch.rand(grid) + 0.1
    written, done = values({"a.weight": weight, "a.weight_scale_inv": scales})
    rows, columns = torch.arange(shape[-2]) // block[0], torch.arange(shape[-1]) // block[1]
    exact = weight.float() * scales[..., rows, :][..., columns]
    assert list(written) == ["a.weight"]
    assert torch.equal(written["a.weight"], exact.to(torch.bfloat16))
    assert (done.weights, done.is_ragged) == (1, ragged)
    error = (exact.to(torch.bfloat16).float() / exact - 1).abs().nan_to_num().max()
    assert done.rounding == pytest.approx(float(error))
    assert 0 < done.rounding <= 2**-8


@pytest.mark.parametrize("scale", [torch.tensor(0.3), torch.tensor([0.3]), torch.rand(6) + 0.1])
def test_one_scale_for_all_or_for_each_row(values, scale):
    weight = drawn(6, 10)
    written, _ = values({"a.weight": weight, "a.weight_scale": scale}, Form(method="", words=""))
    exact = weight.float() * scale.reshape(-1, 1)
    assert torch.equal(written["a.weight"], exact.to(torch.bfloat16))


def test_powers_of_two_lose_nothing(values):
    weight, powers = drawn(256, 128), torch.tensor([[100], [130]], dtype=torch.uint8)
    written, done = values({"a.weight": weight, "a.scale": powers})
    factors = torch.tensor([2.0**-27, 8.0]).repeat_interleave(128)[:, None]
    assert torch.equal(written["a.weight"].float(), weight.float() * factors)
    assert done.rounding == 0
    as_floats, _ = values({"a.weight": weight, "a.scale": powers.view(torch.float8_e8m0fnu)})
    assert torch.equal(as_floats["a.weight"], written["a.weight"])


def test_two_4_bit_floats_to_a_byte_the_lower_first(values):
    packed = torch.tensor([[0x21, 0x7F]], dtype=torch.int8)
    written, _ = values({"a.weight": packed, "a.weight_scale_inv": torch.tensor([[2.0]])})
    assert written["a.weight"].tolist() == [[1.0, 2.0, -12.0, 12.0]]


def test_blocks_of_mxfp4_are_as_transformers_has_them(values):
    """Every byte, at every power of two that is a number."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks = torch.arange(2 * 8 * 255 * 16).remainder(256).to(torch.uint8).view(2, 8, 255, 16)
    scales = torch.arange(255, dtype=torch.uint8).expand(2, 8, 255)
    written, done = values({"experts.up_blocks": blocks, "experts.up_scales": scales})
    expected = convert_moe_packed_tensors(blocks, scales)
    assert list(written) == ["experts.up"]
    assert torch.equal(written["experts.up"].view(torch.int16), expected.view(torch.int16))
    assert done.weights == 1


def test_what_is_not_quantised_stays_to_the_bit_and_scales_of_activations_leave(values):
    tensors = {
        "a.weight": drawn(8, 8), "a.weight_scale_inv": torch.ones(1, 1),
        "a.input_scale": torch.ones(1), "layers.0.attn.k_scale": torch.ones(1),
        "gate.bias": torch.rand(3), "gate.tid2eid": torch.arange(6).view(3, 2),
        "norm.scale": torch.rand(4).to(torch.bfloat16),
    }  # fmt: skip
    written, _ = values(tensors)
    kept = ["gate.bias", "gate.tid2eid", "norm.scale"]
    assert sorted(written) == ["a.weight", *kept]
    assert all(torch.equal(written[name], tensors[name]) for name in kept)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.weight": drawn(8, 8)}, "a.weight is F8_E4M3, with no scale beside it"),
        (
            {"a.weight": drawn(8, 8), "a.weight_scale_inv": torch.ones(3, 1)},
            r"a.weight has shape \[8, 8\], its scales \[3, 1\], which do not go together",
        ),
        (
            {"a_blocks": torch.zeros(2, 3, 2, 16).byte(), "a_scales": torch.zeros(2, 3, 1).byte()},
            "a_blocks has shape .* do not go together",
        ),
    ],
)
def test_tensors_that_do_not_go_together_are_named(values, tensors, message):
    with pytest.raises(DataError, match=message):
        values(tensors)
