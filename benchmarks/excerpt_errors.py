"""The error of the KL to an excerpt, as `teacher_cache.py` defines it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raydistill.data.batches import TokenFile
from raydistill.distillation.answer_files import WrittenTeacher
from raydistill.distillation.answers import TeacherAnswer
from raydistill.models.decoder import Decoder

Ask = Callable[[list[int]], TeacherAnswer]  # answers windows by number


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """The errors for one student, in percent of the exact values."""

    kl_bias_pct: float
    kl_noise_pct: float
    gradient_bias_pct: float
    gradient_noise_pct: float

    @property
    def kl_pct(self) -> float:
        """The error of the KL term, bias and noise together."""
        return float((self.kl_bias_pct**2 + self.kl_noise_pct**2) ** 0.5)

    @property
    def gradient_pct(self) -> float:
        """The error of its gradient."""
        return float((self.gradient_bias_pct**2 + self.gradient_noise_pct**2) ** 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One excerpt at one size."""

    excerpt: str
    size: int
    bytes_per_token: float
    cut: Errors
    healed: Errors
    answer_s: float  # of a step, from the file to the gradient on the student's logits
    write_s: float  # of a step's tokens, with the teacher's forward pass

    @property
    def error_pct(self) -> float:
        """The largest error of both students."""
        return max(e for s in (self.cut, self.healed) for e in (s.kl_pct, s.gradient_pct))


class Probe:
    """A student at some steps, with the exact KL and its gradient."""

    def __init__(
        self, student: Decoder, tokens: TokenFile, online: Ask, steps: Sequence[list[int]]
    ) -> None:
        self.parameters = list(student.parameters())
        self.steps = steps
        ids = [tokens.windows(numbers) for numbers in steps]
        self.targets = [windows[:, 1:] for windows in ids]
        self.logits = [student(windows[:, :-1]) for windows in ids]
        self.exact = [self.terms(i, online(numbers)) for i, numbers in enumerate(steps)]

    @property
    def mean_kl(self) -> float:
        """Nats per token, exact."""
        return sum(float(kl) for kl, _ in self.exact) / len(self.exact)

    def terms(self, step: int, answer: TeacherAnswer) -> tuple[Tensor, Tensor]:
        """The KL [1] and its gradient [parameters]."""
        value = answer.kl(self.logits[step], self.targets[step])
        gradient = torch.autograd.grad(value, self.parameters, retain_graph=True)
        return value.detach()[None], torch.cat([g.flatten() for g in gradient])

    def errors(self, draws: Sequence[WrittenTeacher]) -> Errors:
        """The errors of one excerpt, by several draws of it."""
        terms = [
            [self.terms(i, teacher.answer(numbers)) for teacher in draws]
            for i, numbers in enumerate(self.steps)
        ]
        (kl_bias, kl_noise), (bias, noise) = (
            bias_and_noise(
                torch.stack([torch.stack([draw[term] for draw in step]) for step in terms]),
                torch.stack([exact[term] for exact in self.exact]),
            )
            for term in (0, 1)
        )
        return Errors(
            kl_bias_pct=kl_bias, kl_noise_pct=kl_noise,
            gradient_bias_pct=bias, gradient_noise_pct=noise,
        )  # fmt: skip


def bias_and_noise(drawn: Tensor, exact: Tensor) -> tuple[float, float]:
    """In percent, of drawn values [steps, draws, values] and exact ones [steps, values]."""
    num_steps, num_draws = drawn.shape[:2]
    noise2 = float(drawn.var(dim=1).sum(-1).mean()) if num_draws > 1 else 0.0
    difference = (drawn.mean(1) - exact).mean(0)
    bias2 = max(float(difference.square().sum()) - noise2 / (num_steps * num_draws), 0.0)
    size2 = float(exact.square().sum(-1).mean())
    return 100 * bias2**0.5 / float(exact.mean(0).norm()), 100 * (noise2 / size2) ** 0.5


def seconds(work: Callable[[int], object], times: int = 9) -> float:
    """CPU seconds of this process, the median of several calls."""
    durations = []
    for i in range(times):
        start_s = time.process_time()
        work(i)
        durations.append(time.process_time() - start_s)
    return sorted(durations)[times // 2]


def answer_seconds(probe: Probe, ask: Ask) -> float:
    """CPU seconds of a step from the question to the gradient on the student's logits."""

    def work(i: int) -> None:
        step = i % len(probe.steps)
        logits = probe.logits[step].detach().requires_grad_()
        ask(probe.steps[step]).kl(logits, probe.targets[step]).backward()

    return seconds(work)
