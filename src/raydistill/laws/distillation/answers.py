"""What a distillation law says of one student under a budget: fitted here, or as published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.distillation.budget import (
    Budget,
    Candidate,
    crossovers,
    options,
    share_that_pays,
)
from raydistill.laws.distillation.ladder import NAME, gap_inputs
from raydistill.laws.extrapolation import FAR, NEAR, Extrapolation, check_reach, predict
from raydistill.laws.fit import Fit, Prediction
from raydistill.laws.fitting import fit
from raydistill.laws.forms.distillation import LADDER
from raydistill.laws.published import STUDENT_SURFACE, TEACHER_GAP

PUBLISHED = "published"  # the name of the law that was not fitted here
JUST_MORE = 1 + 1e-6  # than what a teacher costs
MOST_DECADES = 3.0  # from the budget that is asked about, within which crossovers are looked for


class DistillationLaw(Protocol):
    """A law of the student's loss, for a student of a size that is given."""

    def loss(self, params: float, tokens: float, teacher: Candidate) -> float:
        """The student's nats per token, without interval."""

    def answer(
        self, params: float, tokens: float, teacher: Candidate, *, far: bool
    ) -> Extrapolation:
        """The same with intervals, and how far beyond the points that is."""

    def tokens_for(self, params: float, loss: float, *, far: bool) -> float:
        """The tokens after which a model reaches a loss without a teacher; inf if never."""

    def budgets(self, params: float, flops: float, *, far: bool) -> tuple[float, float]:
        """The FLOPs around a budget between which the law may be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLaw:
    """The constants of Busbridge et al. (2025), most of them unconfirmed; without intervals."""

    def loss(self, params: float, tokens: float, teacher: Candidate) -> float:
        alone = float(STUDENT_SURFACE.loss(params, tokens))
        if teacher is None:
            return alone
        return float(TEACHER_GAP.student_loss(params, tokens, teacher.loss, alone))

    def answer(
        self, params: float, tokens: float, teacher: Candidate, *, far: bool
    ) -> Extrapolation:
        nowhere = (-math.inf, math.inf)
        prediction = Prediction(
            value=self.loss(params, tokens, teacher),
            interval=nowhere,
            interval_with_noise=nowhere,
            factor_beyond=1.0,
        )
        return Extrapolation(prediction=prediction, notice="", forms=(PUBLISHED,))

    def tokens_for(self, params: float, loss: float, *, far: bool) -> float:
        return STUDENT_SURFACE.tokens_for(params, loss)

    def budgets(self, params: float, flops: float, *, far: bool) -> tuple[float, float]:
        return _around(flops)


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedLaw:
    """Both halves as they were fitted.

    The surface's uncertainty moves the gap's answer too: their intervals are added as independent
    errors are.
    """

    gap: Fit
    surface: Fit

    def loss(self, params: float, tokens: float, teacher: Candidate) -> float:
        alone = float(self.surface.values(_at(params=params, tokens=tokens))[0])
        if teacher is None or math.isinf(alone):  # after next to no tokens
            return alone
        return self._taught(params, tokens, teacher.loss, alone)

    def answer(
        self, params: float, tokens: float, teacher: Candidate, *, far: bool
    ) -> Extrapolation:
        alone = predict(self.surface, {"params": params, "tokens": tokens}, far=far)
        if teacher is None:
            return alone
        place = gap_inputs(params, tokens, teacher.loss, alone.prediction.value)
        inputs = {name: place[name] for name in self.gap.box}
        is_near = self.gap.factor_beyond(inputs) <= NEAR
        rungs = () if is_near else self._other_rungs()
        taught = predict(self.gap, inputs, alternatives=rungs, far=far)
        moved = [
            self._moved(params, tokens, teacher.loss, end) for end in alone.prediction.interval
        ]
        both = (("the student alone", alone), ("with its teacher", taught))
        notices = [f"{what}: {answer.notice}" for what, answer in both if answer.notice]
        return replace(
            taught,
            prediction=replace(
                taught.prediction,
                interval=_wider(taught.prediction.value, taught.prediction.interval, moved),
                interval_with_noise=_wider(
                    taught.prediction.value, taught.prediction.interval_with_noise, moved
                ),
                factor_beyond=max(taught.prediction.factor_beyond, alone.prediction.factor_beyond),
            ),
            notice="; ".join(notices),
        )

    def tokens_for(self, params: float, loss: float, *, far: bool) -> float:
        """By halving, as the surface falls with tokens.

        Raises:
            UsageError: if that is too far from the points of the surface, without `far`.
        """
        low, high = (math.log(end) for end in (1.0, 1e30))

        def above(log_tokens: float) -> bool:
            at = _at(params=params, tokens=math.exp(log_tokens))
            return bool(self.surface.values(at)[0] > loss)

        if above(high):
            return math.inf
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle) else (low, middle)
        tokens = math.exp(high)
        check_reach(self.surface, {"params": params, "tokens": tokens}, far=far)
        return tokens

    def budgets(self, params: float, flops: float, *, far: bool) -> tuple[float, float]:
        lowest, highest = _around(flops)
        if far:
            return lowest, highest
        fewest, most = self.surface.box["tokens"]
        return max(lowest, 6 * params * fewest / FAR), min(highest, 6 * params * most * FAR)

    def _taught(self, params: float, tokens: float, teacher_loss: float, alone: float) -> float:
        return float(self.gap.values(_at(**gap_inputs(params, tokens, teacher_loss, alone)))[0])

    def _moved(self, params: float, tokens: float, teacher_loss: float, end: float) -> float:
        """The answer at one end of what the student reaches alone, which may be without end."""
        if 0 < end < math.inf:
            return self._taught(params, tokens, teacher_loss, end)
        return math.inf if end > 0 else -math.inf

    def _other_rungs(self) -> tuple[Fit, ...]:
        others = []
        for count in LADDER:
            name = f"{NAME}+parameters={count}"
            if name == self.gap.form:
                continue
            try:
                others.append(fit(name, self.gap.points))
            except UsageError:  # too few runs for it
                continue
        return tuple(others)


def _at(**inputs: float) -> dict[str, np.ndarray]:
    return {name: np.array([value]) for name, value in inputs.items()}


def _around(flops: float) -> tuple[float, float]:
    return flops / 10**MOST_DECADES, flops * 10**MOST_DECADES


def _wider(value: float, interval: tuple[float, float], moved: list[float]) -> tuple[float, float]:
    low, high = min(*moved, value), max(*moved, value)
    return (
        value - math.hypot(value - interval[0], value - low),
        value + math.hypot(interval[1] - value, high - value),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A candidate under a budget.

    Attributes:
        name: as it was written.
        tokens: what is left for the student; 0 if the teacher alone costs more than there is.
        answer: the student's loss; None without tokens.
        tied: whether it cannot be told from the best; None where the law has no intervals.
    """

    name: str
    tokens: float
    answer: Extrapolation | None
    tied: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetAnswer:
    """Who should teach under a budget.

    Attributes:
        ranked: the candidates, the best first.
        changes: at which FLOPs the best candidate changes, to which one, from below.
        cheapest: the best candidate of the smallest budget that was looked at.
        searched: the FLOPs between which changes were looked for.
        fewest_students: that must share a teacher for one to beat none; None if no number does.
    """

    ranked: tuple[Ranked, ...]
    changes: tuple[tuple[float, str], ...]
    cheapest: str
    searched: tuple[float, float]
    fewest_students: int | None


def ask_budget(
    law: DistillationLaw, budget: Budget, candidates: Sequence[Candidate], *, far: bool
) -> BudgetAnswer:
    """Rank the candidates under a budget, and say where the best one changes.

    Raises:
        UsageError: if a candidate is too far from the points of the law, without `far`.
    """
    params = budget.student_params

    def loss_of(tokens: float, candidate: Candidate) -> float:
        return law.loss(params, tokens, candidate)

    answers: dict[str, Extrapolation] = {}
    in_order = options(budget, candidates, loss_of)
    for option in in_order:
        if option.student_tokens > 0:
            name = name_of(option.candidate)
            try:
                answers[name] = law.answer(params, option.student_tokens, option.candidate, far=far)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None
    best = answers.get(name_of(in_order[0].candidate))
    low, high = law.budgets(params, budget.flops, far=far)
    low = max(low, budget.least(candidates) * JUST_MORE)  # below it there is no best one
    changes = (
        crossovers(budget, candidates, loss_of, lowest=low, highest=high) if low < high else ()
    )
    start = changes[0].below if changes else in_order[0].candidate
    if not changes and low < high:
        at_low = replace(budget, flops=low)
        start = options(at_low, candidates, loss_of)[0].candidate
    return BudgetAnswer(
        ranked=tuple(
            Ranked(
                name=name_of(option.candidate),
                tokens=option.student_tokens,
                answer=answers.get(name_of(option.candidate)),
                tied=_tied(best, answers.get(name_of(option.candidate))),
            )
            for option in in_order
        ),
        changes=tuple((change.flops, name_of(change.above)) for change in changes),
        cheapest=name_of(start),
        searched=(low, high),
        fewest_students=share_that_pays(budget, candidates, loss_of)
        if None in candidates and any(candidates)
        else None,
    )


def name_of(candidate: Candidate) -> str:
    """As it was written."""
    return "none" if candidate is None else candidate.name


def _tied(best: Extrapolation | None, other: Extrapolation | None) -> bool | None:
    """Whether the interval of the difference holds 0, as if their errors were independent."""
    if best is None or other is None:
        return None
    ours, theirs = best.prediction, other.prediction
    if not (math.isfinite(ours.interval[1]) and math.isfinite(theirs.interval[0])):
        return None
    margin = math.hypot(ours.interval[1] - ours.value, theirs.value - theirs.interval[0])
    return theirs.value - ours.value <= margin
