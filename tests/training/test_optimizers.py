"""Lion against lion-pytorch and against its five lines; the schedule by tokens."""

from dataclasses import replace

import pytest
import torch
from lion_pytorch import Lion as PublishedLion

from raydistill.specs.recipe import decay_start, lr_at
from raydistill.specs.trial import Recipe
from raydistill.training.optimizers import Lion, optimizer_of

RECIPE = Recipe(
    peak_lr=3e-3, budget_tokens=900, warm_phase_tokens=100, batch_tokens=10, micro_batches=1,
    warmup_tokens=100, weight_decay=0.1,
)  # fmt: skip


def gradients(steps):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 5, generator=generator) for _ in range(steps)]


def test_equals_lion_pytorch_bit_for_bit():
    ours, theirs = (torch.nn.Parameter(torch.ones(4, 5)) for _ in range(2))
    optimizer = Lion([ours], RECIPE)
    published = PublishedLion(
        [theirs], lr=RECIPE.peak_lr, betas=(0.9, 0.95), weight_decay=0.1,
        decoupled_weight_decay=True,
    )  # fmt: skip
    for step, gradient in enumerate(gradients(20)):
        optimizer.set_lr(lr := lr_at(RECIPE, 10 * (step + 1)))
        published.param_groups[0]["lr"] = lr
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        published.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)


def test_equals_the_five_lines_of_the_definition():
    p, m, parameter = torch.ones(4, 5), torch.zeros(4, 5), torch.nn.Parameter(torch.ones(4, 5))
    optimizer = Lion([parameter], RECIPE)
    for step, g in enumerate(gradients(20)):
        lr = lr_at(RECIPE, 10 * (step + 1))
        p = p * (1 - lr / RECIPE.peak_lr * RECIPE.weight_decay)
        p = p - lr * torch.sign(RECIPE.beta1 * m + (1 - RECIPE.beta1) * g)
        m = RECIPE.beta2 * m + (1 - RECIPE.beta2) * g
        optimizer.set_lr(lr)
        parameter.grad = g.clone()
        optimizer.step()
    torch.testing.assert_close(parameter.data, p, rtol=1e-6, atol=1e-6)


def test_norms_and_biases_do_not_decay():
    bias = torch.nn.Parameter(torch.ones(5))
    bias.grad = torch.zeros(5)
    Lion([bias], RECIPE).step()
    assert torch.equal(bias, torch.ones(5))


@pytest.mark.parametrize(
    ("tokens", "share"),
    [(10, 0.1), (50, 0.5), (100, 1.0), (325, 0.8682), (550, 0.55), (775, 0.2318), (1000, 0.1)],
)
def test_the_rate_rises_linearly_then_follows_a_cosine_to_a_tenth(tokens, share):
    """A quarter and three quarters of the way, a line would stand at 0.775 and 0.325."""
    assert lr_at(RECIPE, tokens) == pytest.approx(share * RECIPE.peak_lr, rel=1e-3)


ADAMW = replace(RECIPE, optimizer="adamw", schedule="wsd", final_lr_ratio=0.0, warm_phase_tokens=0)


def test_adamw_equals_the_lines_of_its_definition():
    p, m, v = torch.ones(4, 5), torch.zeros(4, 5), torch.zeros(4, 5)
    parameter, bias = torch.nn.Parameter(torch.ones(4, 5)), torch.nn.Parameter(torch.ones(5))
    optimizer = optimizer_of([parameter, bias], ADAMW)
    for step, g in enumerate(gradients(20)):
        lr = lr_at(ADAMW, 10 * (step + 1))
        p = p * (1 - lr * ADAMW.weight_decay)
        m = ADAMW.beta1 * m + (1 - ADAMW.beta1) * g
        v = ADAMW.beta2 * v + (1 - ADAMW.beta2) * g**2
        unbiased_m = m / (1 - ADAMW.beta1 ** (step + 1))
        unbiased_v = v / (1 - ADAMW.beta2 ** (step + 1))
        p = p - lr * unbiased_m / (unbiased_v.sqrt() + 1e-8)
        optimizer.set_lr(lr)
        parameter.grad, bias.grad = g.clone(), torch.zeros(5)
        optimizer.step()
    torch.testing.assert_close(parameter.data, p, rtol=1e-5, atol=1e-6)
    assert torch.equal(bias.data, torch.ones(5))  # no decay
    bias.grad = torch.ones(5)
    optimizer.step()
    assert torch.all(bias < 1)


@pytest.mark.parametrize(
    ("tokens", "share"),
    [(50, 0.5), (100, 1.0), (720, 1.0), (765, 0.75), (810, 0.5), (855, 0.25), (900, 0.0)],
)
def test_warm_up_stable_decay_falls_in_a_line(tokens, share):
    assert lr_at(ADAMW, tokens) == pytest.approx(share * ADAMW.peak_lr)


def test_a_longer_budget_has_the_same_rates_until_the_shorter_one_decays():
    longer = replace(ADAMW, budget_tokens=1800)
    assert decay_start(ADAMW) == 720
    until = range(10, 721, 10)
    assert [lr_at(ADAMW, t) for t in until] == [lr_at(longer, t) for t in until]
