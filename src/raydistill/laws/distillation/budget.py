"""Which teacher under a compute budget, with none among the candidates.

The rule of METHOD 8, for a student of N_S parameters and D_S tokens:

    6·N_S·D_S + 2·N_T·D_S + 6·N_T·D_T/k

are the FLOPs of its training, of its teacher's forward passes, and of its share of the teacher's
own training if k students have that teacher in common. N counts parameters without embeddings.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

EXISTING = math.inf  # students of a teacher that is there anyway: its training costs nothing
STEPS_PER_DECADE = 8  # of the budgets that are searched for a crossover
BISECTIONS = 40  # a crossover to one part in 10^12 of a step


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A candidate: `7B@2.1` has 7 billion parameters and a loss of 2.1 nats per token."""

    name: str
    params: float
    loss: float
    tokens: float  # that it was trained on


Candidate = Teacher | None  # None is the student alone
LossOf = Callable[[float, Candidate], float]
"""The student's loss by its tokens and its teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What may be spent on one student.

    Args:
        flops: above 0, with its share of the teacher's training.
        student_params: above 0, without embeddings.
        share: k, how many students share a teacher; `EXISTING` if it is there anyway.
    """

    flops: float
    student_params: float
    share: float = 1.0

    def least(self, candidates: Sequence[Candidate]) -> float:
        """The FLOPs above which one of the candidates can be paid."""
        return min(0.0 if one is None else _teacher_flops(one, self.share) for one in candidates)

    def student_tokens(self, teacher: Candidate) -> float:
        """The tokens left for the student; 0 if the teacher alone takes the whole budget."""
        if teacher is None:
            return self.flops / (6 * self.student_params)
        left = self.flops - _teacher_flops(teacher, self.share)
        return max(0.0, left / (6 * self.student_params + 2 * teacher.params))


def distillation_flops(
    student_params: float, student_tokens: float, teacher: Candidate, share: float = 1.0
) -> float:
    """FLOPs of one student by the rule above.

    >>> teacher = Teacher(name="7B@2.1", params=7e9, loss=2.1, tokens=1e11)
    >>> f"{distillation_flops(3e9, 1e11, teacher, share=4):.3g}"
    '4.25e+21'
    """
    if teacher is None:
        return 6 * student_params * student_tokens
    own = (6 * student_params + 2 * teacher.params) * student_tokens
    return own + _teacher_flops(teacher, share)


def _teacher_flops(teacher: Teacher, share: float) -> float:
    return 0.0 if share == EXISTING else 6 * teacher.params * teacher.tokens / share


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A candidate under a budget: the student's tokens and loss; inf where it cannot be paid."""

    candidate: Candidate
    student_tokens: float
    loss: float


def options(budget: Budget, candidates: Sequence[Candidate], loss_of: LossOf) -> tuple[Option, ...]:
    """The candidates under a budget, the lowest loss first; those alike in the order given."""
    every = []
    for candidate in candidates:
        tokens = budget.student_tokens(candidate)
        loss = loss_of(tokens, candidate) if tokens > 0 else math.inf
        every.append(Option(candidate=candidate, student_tokens=tokens, loss=loss))
    return tuple(sorted(every, key=lambda option: option.loss))


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossover:
    """At `flops` (from below) the best candidate changes."""

    flops: float
    below: Candidate
    above: Candidate


def crossovers(
    budget: Budget,
    candidates: Sequence[Candidate],
    loss_of: LossOf,
    *,
    lowest: float,
    highest: float,
) -> tuple[Crossover, ...]:
    """Where the best candidate changes, among budgets from `lowest` to `highest` FLOPs."""

    def best(flops: float) -> Candidate:
        other = Budget(flops=flops, student_params=budget.student_params, share=budget.share)
        return options(other, candidates, loss_of)[0].candidate

    steps = 1 + math.ceil(STEPS_PER_DECADE * math.log10(highest / lowest))
    grid = np.geomspace(lowest, highest, max(2, steps))
    return tuple(_changes(best, [float(flops) for flops in grid]))


def _changes(best: Callable[[float], Candidate], grid: Sequence[float]) -> Iterator[Crossover]:
    winners = [best(flops) for flops in grid]
    for (low, below), (high, above) in pairwise(zip(grid, winners, strict=True)):
        if below != above:
            yield from _between(best, low, high, below, above)


def _between(
    best: Callable[[float], Candidate], low: float, high: float, below: Candidate, above: Candidate
) -> Iterator[Crossover]:
    """Every change between two budgets, found by halving; a third candidate may win between."""
    end = high
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        if best(middle) == below:
            low = middle
        else:
            high = middle
    winner = best(high)
    yield Crossover(flops=high, below=below, above=winner)
    if winner != above:
        yield from _between(best, high, end, winner, above)


def share_that_pays(budget: Budget, candidates: Sequence[Candidate], loss_of: LossOf) -> int | None:
    """The fewest students that must share a teacher for one to beat none; None if no number does.

    Sharing only makes teachers cheaper, so every larger number does too.
    """

    def pays(share: float) -> bool:
        shared = Budget(flops=budget.flops, student_params=budget.student_params, share=share)
        return options(shared, candidates, loss_of)[0].candidate is not None

    if not pays(EXISTING):
        return None
    low, high = 0, 1
    while not pays(high):
        if high > 2**40:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if pays(middle) else (middle, high)
    return high
