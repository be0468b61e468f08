"""How the benchmark tells bias from noise."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from excerpt_errors import bias_and_noise

EXACT = torch.tensor([[3.0, 4.0], [3.0, 4.0]])


def test_a_constant_error_is_bias():
    drawn = (1.1 * EXACT)[:, None].expand(2, 3, 2)
    assert bias_and_noise(drawn, EXACT) == pytest.approx((10, 0), abs=1e-4)
    assert bias_and_noise(drawn[:, :1], EXACT) == pytest.approx((10, 0), abs=1e-4)


def test_scatter_around_the_exact_value_is_noise():
    scatter = torch.randn(2, 500, 2, generator=torch.Generator().manual_seed(0))
    bias, noise = bias_and_noise(EXACT[:, None] + scatter, EXACT)
    assert noise == pytest.approx(100 * 2**0.5 / 5, rel=0.05)
    assert bias < 1.5


def test_exact_values_have_neither():
    assert bias_and_noise(EXACT[:, None].expand(2, 4, 2), EXACT) == (0, 0)
