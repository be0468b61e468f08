"""What `raydistill law capacity-gap` prints: a student's teacher, by size and under a budget."""

from collections.abc import Sequence

from raydistill.laws.distillation.answers import PUBLISHED, BudgetAnswer, Ranked
from raydistill.laws.distillation.budget import EXISTING, Budget, Candidate
from raydistill.laws.extrapolation import Extrapolation
from raydistill.laws.fit import Fit
from raydistill.laws.published import CAPACITY_GAP
from raydistill.reports.laws import amount, fit_facts, notes, prediction_facts, span
from raydistill.reports.tables.grids import ABSENT, Section

UNCONFIRMED = (
    "the constants of Busbridge et al., 2025, arXiv:2502.08606: those of the student alone are "
    "from a secondary source, those of the gap are unconfirmed, and no interval is known: an "
    "illustration, no advice"
)


def published_teacher(student_params: float) -> str:
    """The published line's answer, with its source.

    >>> published_teacher(3e9)[:40]
    '7.483B by T* = 2.498·S − 11.5M (Zhang et'
    """
    line = CAPACITY_GAP
    teacher = line.teacher_params(student_params)
    if teacher <= 0:
        return (
            f"none: its line is below 0 for a student of {amount(student_params)} ({line.source})"
        )
    equation = f"T* = {line.slope:g}·S − {amount(-line.intercept)}"
    return f"{amount(teacher)} by {equation} ({line.source})"


def teacher_section(student_params: float, answer: Extrapolation | None) -> Section:
    """The teacher of a student: by the line that was fitted here, and by the published one."""
    rows = [] if answer is None else [("teacher", amount(answer.prediction.value))]
    rows += [] if answer is None else prediction_facts(answer)
    rows.append(("published", published_teacher(student_params)))
    title = f"The best teacher of a student of {amount(student_params)} parameters"
    return Section(title=title, headers=(), rows=tuple(rows))


def front_section(flops: float, rule: str, answer: Extrapolation, law_id: str, law: Fit) -> Section:
    """The lowest loss of any shape at some FLOPs of pretraining."""
    rows = [
        ("nats", f"{answer.prediction.value:.4f}"),
        *prediction_facts(answer),
        ("law", f"{law_id}, {law.form}"),
        *fit_facts(law)[:2],
        *notes(law),
    ]
    title = f"The front at {amount(flops)} FLOPs by the rule {rule}: held-out nats per target"
    return Section(title=title, headers=(), rows=tuple(rows))


def budget_section(budget: Budget, answer: BudgetAnswer) -> Section:
    """The candidates under a budget, a line each."""
    shared = (
        "a teacher that is there anyway"
        if budget.share == EXISTING
        else "a teacher of its own"
        if budget.share == 1
        else f"a teacher shared by {budget.share:g}"
    )
    student = f"a student of {amount(budget.student_params)} parameters"
    return Section(
        title=f"{amount(budget.flops)} FLOPs for {student}, {shared}",
        headers=("teacher", "student's tokens", "loss", "95 % interval", "with noise", "reach"),
        rows=tuple(_candidate_row(one) for one in answer.ranked),
    )


def _candidate_row(one: Ranked) -> tuple[str, ...]:
    if one.answer is None:
        return (one.name, ABSENT, ABSENT, ABSENT, ABSENT, "it costs more than there is")
    prediction = one.answer.prediction
    reach = (
        "within" if prediction.factor_beyond <= 1 else f"{amount(prediction.factor_beyond)}× beyond"
    )
    if one.answer.forms == (PUBLISHED,):
        reach = ABSENT
    return (
        one.name,
        amount(one.tokens),
        f"{prediction.value:.4f}",
        span(*prediction.interval),
        span(*prediction.interval_with_noise),
        reach,
    )


def budget_facts(
    budget: Budget, candidates: Sequence[Candidate], answer: BudgetAnswer
) -> list[tuple[str, str]]:
    """Who wins, where that changes, how many students make a teacher pay, and what it took."""
    facts = [("best", _best(answer.ranked)), ("by budget", _by_budget(answer))]
    if any(one.name == "none" for one in answer.ranked) and len(answer.ranked) > 1:
        facts.append(("sharing", _sharing(answer.fewest_students)))
    taught = [f"{one.name} on {amount(one.tokens)} tokens" for one in candidates if one]
    if taught and budget.share != EXISTING:
        facts.append(("trained", ", ".join(taught)))
    notices = dict.fromkeys(
        one.answer.notice for one in answer.ranked if one.answer and one.answer.notice
    )
    return [*facts, *(("notice", notice) for notice in notices)]


def _best(ranked: Sequence[Ranked]) -> str:
    first, *others = ranked
    if first.answer is None:
        return "none can be paid"
    tied = [one.name for one in others if one.tied]
    return first.name + (f", not distinguishable from {', '.join(tied)}" if tied else "")


def _by_budget(answer: BudgetAnswer) -> str:
    low, high = (amount(flops) for flops in answer.searched)
    if answer.searched[0] >= answer.searched[1]:
        return f"none can be paid up to {high} FLOPs"
    if not answer.changes:
        return f"{answer.cheapest} from {low} to {high} FLOPs"
    steps = [f"from {amount(flops)} on {name}" for flops, name in answer.changes]
    return f"{answer.cheapest} at {low} FLOPs, {', '.join(steps)}, up to {high}"


def _sharing(fewest: int | None) -> str:
    if fewest is None:
        return "however many students share a teacher, none is better at this budget"
    return f"a teacher beats none at this budget if {fewest} or more students share it"
