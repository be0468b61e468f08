"""Lion with decoupled decay, and AdamW."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.specs.trial import Recipe


class Optimizer(ABC):
    """What the loop needs of an optimizer.

    No `torch.optim.Optimizer`: to make one imports torch._dynamo and sympy, over a second of CPU
    in every process that trains.

    Attributes:
        parameters: what is trained.
        state: by parameter, the tensors kept between steps by name; none before its first step.
    """

    state: Any

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = tuple(parameters)

    @abstractmethod
    def step(self) -> None:
        """Update every parameter that has a gradient."""

    @abstractmethod
    def set_lr(self, lr: float) -> None:
        """Use `lr` from the next step on."""

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for p in self.parameters:
            p.grad = None


def optimizer_of(parameters: Iterable[nn.Parameter], recipe: Recipe) -> Optimizer:
    """The optimizer that a recipe names."""
    kind = AdamW if recipe.optimizer == "adamw" else Lion
    return kind(parameters, recipe)


class Lion(Optimizer):
    """Lion (Chen et al., 2023) with Composer's decoupled weight decay.

    p ← p·(1 − (lr/peak)·decay) − lr·sign(β₁·m + (1 − β₁)·g);  m ← β₂·m + (1 − β₂)·g.
    Norms and biases, the parameters of one dimension, do not decay (paper, section 4.1).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        super().__init__(parameters)
        self.recipe = recipe
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._lr = recipe.peak_lr

    @torch.no_grad()
    def step(self) -> None:
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
        self._lr = lr


class AdamW(Optimizer):
    """torch's AdamW (Loshchilov & Hutter, 2019): p ← p·(1 − lr·decay), none on norms and biases."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        super().__init__(parameters)
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
        self._inner.step()

    def set_lr(self, lr: float) -> None:
        for group in self._inner.param_groups:
            group["lr"] = lr
