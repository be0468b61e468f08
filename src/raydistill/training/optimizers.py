"""Lion with decoupled decay, and AdamW."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.models.sharding import is_share, local
from raydistill.specs.trial import Recipe


class Optimizer(ABC):
    """What the loop needs of an optimizer.

    No `torch.optim.Optimizer`: to make one imports torch._dynamo and sympy, over a second of CPU
    in every process that trains.

    Attributes:
        parameters: what is trained.
        updated: what a step computes with, one for each of `parameters`: itself, its copy in
            float32 where the model has it in bfloat16, or where the model is sharded this rank's
            share of it, in the same memory.
        state: by one of `updated`, the tensors kept between steps by name; none before its first
            step.
        offloads: whether `state` lies on the CPU between steps. It is computed with where the
            parameter is, one parameter after the other, so the bits are the same.
    """

    state: Any

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self.parameters = tuple(parameters)
        self.updated = tuple(map(_updated, self.parameters))
        self.offloads = recipe.optimizer_offload == "cpu"
        self._own = dict(zip(self.parameters, self.updated, strict=True))
        for p in self._own:
            if p.dtype == torch.bfloat16:
                p.register_post_accumulate_grad_hook(self._add_gradient)

    @abstractmethod
    def set_lr(self, lr: float) -> None:
        """Use `lr` from the next step on."""

    @abstractmethod
    def _update(self) -> None:
        """Change each of `updated` that has a gradient."""

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self._update()
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Have the model's parameters say what their float32 copies do, rounded."""
        for p, copy in self._own.items():
            if p.dtype == torch.bfloat16:
                p.copy_(copy)

    def clip_gradients(
        self, max_norm: float, total: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Scale all gradients so that their norm together is at most `max_norm`.

        Args:
            max_norm: above 0.
            total: sums a scalar over the ranks, where each has a share of every gradient.
        """
        if total is None:
            nn.utils.clip_grad_norm_(self.updated, max_norm)
            return
        for p, own in self._own.items():
            own.grad, p.grad = None if p.grad is None else local(p.grad), None
        squares = [p.grad.norm().square() for p in self.updated if p.grad is not None]
        norm = total(torch.stack(squares).sum()).sqrt()
        nn.utils.clip_grads_with_norm_(self.updated, max_norm, norm)

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for p in self.updated:
            p.grad = None

    def float32(self, parameter: Tensor) -> Tensor:
        """The weights of a parameter as they are trained: its copy in float32, else itself."""
        if parameter.dtype != torch.bfloat16:
            return parameter.detach()
        return self._own.get(parameter, parameter).detach()  # type: ignore[call-overload,no-any-return]

    def slots(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What is kept for a parameter between steps, by name; empty before its first step."""
        kept: dict[str, Tensor] = self.state.get(self._own.get(parameter), {})
        return kept

    def restore(self, parameter: nn.Parameter, slot: str, tensor: Tensor) -> None:
        """Keep a copy of `tensor` for a parameter, its share of it, on the device it belongs to."""
        away = self.offloads or not tensor.dim()  # torch's AdamW counts steps on the CPU
        device = torch.device("cpu") if away else parameter.device
        self.state.setdefault(self._own[parameter], {})[slot] = tensor.to(device, copy=True)

    def _add_gradient(self, parameter: Tensor) -> None:
        """Add a gradient of one micro-batch to those before it, in float32."""
        copy, gradient = self._own[parameter], parameter.grad  # type: ignore[index]
        assert gradient is not None, "called with a gradient"
        copy.grad = gradient.float() if copy.grad is None else copy.grad.add_(gradient)
        parameter.grad = None

    @contextmanager
    def _loaded(self, parameter: Tensor) -> Iterator[None]:
        """Within the context, the state of one of `updated` is on its device."""
        slots = self.state.get(parameter, {})
        for name, tensor in slots.items():
            if tensor.dim():
                slots[name] = tensor.to(parameter.device)
        yield
        if self.offloads:
            for name, tensor in self.state[parameter].items():
                self.state[parameter][name] = tensor.to("cpu")


def _updated(parameter: nn.Parameter) -> nn.Parameter:
    if parameter.dtype == torch.bfloat16:
        return nn.Parameter(parameter.detach().float())
    return nn.Parameter(local(parameter)) if is_share(parameter) else parameter


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
        super().__init__(parameters, recipe)
        self.recipe = recipe
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._lr = recipe.peak_lr

    @torch.no_grad()
    def _update(self) -> None:
        beta1, beta2 = self.recipe.beta1, self.recipe.beta2
        keep = 1 - self._lr / self.recipe.peak_lr * self.recipe.weight_decay
        for p in self.updated:
            if p.grad is None:
                continue
            with self._loaded(p):
                m = self.momentum(p)
                if p.dim() > 1:
                    p.mul_(keep)
                p.add_(m.mul(beta1).add_(p.grad, alpha=1 - beta1).sign_(), alpha=-self._lr)
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)

    def momentum(self, parameter: Tensor) -> Tensor:
        """The running mean of the gradient of one of `updated`, zeros before the first step."""
        if parameter not in self.state:
            self.state[parameter] = {"momentum": torch.zeros_like(parameter)}
        return self.state[parameter]["momentum"]

    def set_lr(self, lr: float) -> None:
        self._lr = lr


class AdamW(Optimizer):
    """torch's AdamW (Loshchilov & Hutter, 2019): p ← p·(1 − lr·decay), none on norms and biases."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        matrices = [p for p in self.updated if p.dim() > 1]
        others = [p for p in self.updated if p.dim() <= 1]
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

    def _update(self) -> None:
        if not self.offloads:
            self._inner.step()
            return
        groups = [(group, group["params"]) for group in self._inner.param_groups]
        try:
            for group, parameters in groups:
                for other, _ in groups:
                    other["params"] = []
                for parameter in parameters:
                    group["params"] = [parameter]
                    with self._loaded(parameter):
                        self._inner.step()
        finally:
            for group, parameters in groups:
                group["params"] = parameters

    def set_lr(self, lr: float) -> None:
        for group in self._inner.param_groups:
            group["lr"] = lr
