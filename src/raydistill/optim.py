"""Lion with decoupled decay, and the learning rate as a function of the token count."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from raydistill.spec import Recipe


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


def lr_at(recipe: Recipe, tokens: int) -> float:
    """The rate of the step that ends at `tokens`: linear warm-up, then cosine to the last step.

    >>> recipe = Recipe(peak_lr=1.0, budget_tokens=100, batch_tokens=10, micro_batches=1,
    ...                 warmup_tokens=20)
    >>> [round(lr_at(recipe, t), 3) for t in (10, 20, 60, 100)]
    [0.5, 1.0, 0.55, 0.1]
    """
    if tokens < recipe.warmup_tokens:
        return recipe.peak_lr * tokens / recipe.warmup_tokens
    span = max(recipe.total_tokens - recipe.warmup_tokens, 1)
    done = min((tokens - recipe.warmup_tokens) / span, 1.0)
    floor = recipe.final_lr_ratio
    return recipe.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))
