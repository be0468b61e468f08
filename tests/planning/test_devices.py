"""Devices that are not at hand."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.preview.devices import (
    DEVICES,
    UTILISATION,
    assumed_speed,
    device_name,
    peak_of,
)
from raydistill.specs.flops import training_flops_per_token
from raydistill.specs.scale import load_scale


def test_peaks_are_dense_and_of_one_precision():
    """HGX B200: 4.5 PFLOP/s in bfloat16 with sparsity; RTX 4090: 165.2 dense (whitepapers)."""
    assert peak_of("B200", "bfloat16") == 4.5e15 / 2
    assert peak_of("RTX-4090", "bfloat16") == 165.2e12
    assert peak_of("A100", "bfloat16") == 16 * peak_of("A100", "float32") == 312e12
    for name, device in DEVICES.items():
        assert device.sheet, name
        assert device.bfloat16 == "none" or device.bfloat16 > device.float32 > 1e12, name


def test_the_default_is_what_an_h200_reached():
    """582 ms for a step of 64K tokens of the paper's 300M model (README): 28 % of the peak."""
    model = load_scale("paper_300m").model
    flops = 65_536 * training_flops_per_token(model, learning=24, frozen=0)
    reached = flops / 0.582 / peak_of("H200", "bfloat16")
    assert reached == pytest.approx(0.28, abs=0.005)
    assert pytest.approx(reached, abs=0.03) == UTILISATION
    assert "28 %" in assumed_speed("H200", 0.3, 0.3).sentence("bfloat16")


def test_a_name_is_read_in_small_letters_and_an_unknown_one_is_refused_with_all():
    assert device_name("h100-pcie") == "H100-PCIe"
    with pytest.raises(UsageError, match=r"no device 'H1000'. Did you mean 'H100'\? There are: A"):
        device_name("H1000")


def test_a_device_without_units_for_a_precision_says_what_to_do():
    assert peak_of("V100", "float32") == 15.7e12
    with pytest.raises(UsageError, match="V100 has no bfloat16 units: add --set precision=float32"):
        peak_of("V100", "bfloat16")


def test_one_number_is_spread_and_two_are_taken_as_they_are():
    around = assumed_speed("H100", 0.3, 0.3)
    assert (around.low, around.high) == pytest.approx((0.2, 0.45))
    assert assumed_speed("H100", 0.9, 0.9).high == 1.0
    exact = assumed_speed("H100", 0.3, 0.5)
    assert (exact.low, exact.high) == (0.3, 0.5)
    tokens = assumed_speed("", 30_000.0, 30_000.0)
    assert (tokens.low, tokens.high) == pytest.approx((20_000, 45_000))
    assert "a factor of 1.5 either way" in around.sentence("bfloat16")
    assert "either way" not in exact.sentence("bfloat16")
    assert exact.flops_per_s("bfloat16", 7) == pytest.approx((0.3 * 989.4e12, 0.5 * 989.4e12))
    assert tokens.flops_per_s("bfloat16", 7) == pytest.approx((7 * 20_000, 7 * 45_000))
