"""The steps that `benchmarks/masked_lm.py` compares compute the same, at the smallest size."""

import sys
from pathlib import Path

import pytest
import torch

from raydistill.specs.flops import parameters
from raydistill.specs.scale import load_scale

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from masked_lm import ALL, EAGER, HIDDEN, SDPA, contenders, lines, measured, random_batch

SCALE = load_scale("smoke_reduced+layers=1+mask=0.3")


def test_both_heads_have_the_same_loss_and_gradient():
    steps, batch = contenders(SCALE), random_batch(SCALE, windows=2, seed=0)
    losses = {name: steps[name].loss(batch) for name in (HIDDEN, ALL)}
    for loss in losses.values():
        loss.backward()
    assert losses[HIDDEN].item() == pytest.approx(losses[ALL].item(), rel=1e-6)
    for one, other in zip(
        steps[HIDDEN].model.parameters(), steps[ALL].model.parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_bert_is_of_the_same_size_and_begins_at_the_same_loss():
    steps, batch = contenders(SCALE), random_batch(SCALE, windows=2, seed=0)
    own = steps[HIDDEN].num_parameters
    assert own == parameters(SCALE.model)
    for kind in (SDPA, EAGER):
        assert 0.99 * own < steps[kind].num_parameters < own
        assert steps[kind].loss(batch).item() == pytest.approx(
            steps[HIDDEN].loss(batch).item(), rel=0.05
        )


def test_it_measures_and_prints_each_step():
    steps = measured(SCALE, windows=2, rounds=2)
    assert all(len(step.cpu_s) == len(step.clock_s) == 2 for step in steps.values())
    text = "\n".join(lines("smoke", steps))
    assert [kind in text for kind in (HIDDEN, ALL, SDPA, EAGER)] == [True] * 4
    assert "1.00" in text
