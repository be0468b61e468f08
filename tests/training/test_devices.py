"""The memory of a process: counted anew for each trial."""

from dataclasses import replace

import pytest
import torch

from raydistill.models.distributed import World
from raydistill.specs.results import Cost
from raydistill.training.devices import forget_peak_bytes, peak_bytes

SIZE = 64 * 2**20


def test_the_peak_is_that_since_it_was_forgotten():
    world = World.here()
    large = torch.ones(2 * SIZE // 4)
    del large
    held = forget_peak_bytes(world)
    more = torch.ones(SIZE // 4)
    assert 0.9 * SIZE < peak_bytes(world) - held < 1.3 * SIZE
    del more


def test_a_cost_tells_how_far_the_plan_was_off():
    cost = Cost(
        tokens=1, flops_paper=1, flops_exact=1, train_s=1.0, evaluate_s=0.0, peak_bytes=500,
        held_bytes=200, expected_bytes=250,
    )  # fmt: skip
    assert cost.memory_error == pytest.approx(0.2)
    on_gpu = replace(cost, held_bytes=0)  # nothing is there before the first tensor
    assert on_gpu.memory_error == pytest.approx(1.0)
    older = Cost(
        tokens=1, flops_paper=1, flops_exact=1, train_s=1.0, evaluate_s=0.0, peak_bytes=500
    )
    assert older.memory_error == "unknown"
