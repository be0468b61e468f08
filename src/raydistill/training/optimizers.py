"""Lion with decoupled decay, AdamW, and the learning rate as a function of the token count."""

import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from raydistill.specs.trial import Recipe

DECAY_SHARE = 0.2
"""Of the schedule "wsd": its last fifth falls linearly to `final_lr_ratio` of the peak."""


class Optimizer(Protocol):
    """What the loop asks of an optimizer.

    Attributes:
        parameters: what is trained.
        state: by parameter what is kept of it between steps, by name; whole once it had a step.
    """

    parameters: tuple[nn.Parameter, ...]
    state: Any

    def step(self) -> None:
        """Update every parameter that has a gradient."""

    def set_lr(self, lr: float) -> None:
        """Use `lr` from the next step on."""

    def zero_grad(self) -> None:
        """Forget every gradient."""


def optimizer_of(parameters: Iterable[nn.Parameter], recipe: Recipe) -> Optimizer:
    """The one that a recipe names."""
    kind = AdamW if recipe.optimizer == "adamw" else Lion
    return kind(parameters, recipe)


class Lion:
    """Lion (Chen et al., 2023) with Composer's decoupled weight decay.

    p ← p·(1 − (lr/peak)·decay) − lr·sign(β₁·m + (1 − β₁)·g);  m ← β₂·m + (1 − β₂)·g.
    Norms and biases, the parameters of one dimension, do not decay (paper, section 4.1).

    No `torch.optim.Optimizer`: to make one imports torch._dynamo and sympy, over a second of CPU
    in every process that trains.

    Attributes:
        parameters: what is trained.
        state: `momentum` of every parameter that has had one.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self.recipe = recipe
        self.parameters = tuple(parameters)
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._lr = recipe.peak_lr

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        beta1, beta2 = self.recipe.beta1, self.recipe.beta2
        keep = 1 - self._lr / self.recipe.peak_lr * self.recipe.weight_decay
        for p in self.parameters:
            if p.grad is None:
                continue
            m = self.momentum(p)
            if p.dim() > 1:
                p.mul_(keep)
            p.add_(m.mul(beta1).add_(p.grad, alpha=1 - beta1).sign_(), alpha=-self._lr)
            m.mul_(beta2).add_(p.grad, alpha=1 - beta2)

    def momentum(self, parameter: Tensor) -> Tensor:
        """The running mean of the gradient of `parameter`, zeros before the first step."""
        if parameter not in self.state:
            self.state[parameter] = {"momentum": torch.zeros_like(parameter)}
        return self.state[parameter]["momentum"]

    def set_lr(self, lr: float) -> None:
        """Use `lr` from the next step on."""
        self._lr = lr

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for p in self.parameters:
            p.grad = None


class AdamW:
    """torch's AdamW (Loshchilov & Hutter, 2019): p ← p·(1 − lr·decay), none on norms and biases.

    Attributes: see `Optimizer`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self.parameters = tuple(parameters)
        matrices = [p for p in self.parameters if p.dim() > 1]
        others = [p for p in self.parameters if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._inner = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=recipe.peak_lr,
            betas=(recipe.beta1, recipe.beta2),
        )
        self.state = self._inner.state

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self._inner.step()

    def set_lr(self, lr: float) -> None:
        """Use `lr` from the next step on."""
        for group in self._inner.param_groups:
            group["lr"] = lr

    def zero_grad(self) -> None:
        """Forget every gradient."""
        self._inner.zero_grad(set_to_none=True)


def decay_start(recipe: Recipe) -> int:
    """The tokens at which the schedule "wsd" begins to fall: whole steps.

    Until then a run and a longer one of the same recipe are the same.
    """
    return int((1 - DECAY_SHARE) * recipe.total_steps) * recipe.batch_tokens


def lr_at(recipe: Recipe, tokens: int) -> float:
    """The rate of the step that ends at `tokens`: linear warm-up, then what the schedule says.

    "cosine" falls to the last step, "wsd" stays and falls over the last fifth.

    >>> recipe = Recipe(peak_lr=1.0, budget_tokens=100, batch_tokens=10, micro_batches=1,
    ...                 warmup_tokens=20)
    >>> [round(lr_at(recipe, t), 3) for t in (10, 20, 60, 100)]
    [0.5, 1.0, 0.55, 0.1]
    """
    if tokens < recipe.warmup_tokens:
        return recipe.peak_lr * tokens / recipe.warmup_tokens
    wsd, floor = recipe.schedule == "wsd", recipe.final_lr_ratio
    begin = max(decay_start(recipe), recipe.warmup_tokens) if wsd else recipe.warmup_tokens
    done = min(max(tokens - begin, 0) / max(recipe.total_tokens - begin, 1), 1.0)
    if wsd:
        return recipe.peak_lr * (1 - (1 - floor) * done)
    return recipe.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))
