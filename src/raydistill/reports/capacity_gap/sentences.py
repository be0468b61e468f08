"""What is said of a law of capacity gap: the verdict, the paper, anchors, size against loss."""

from collections.abc import Iterator, Sequence

from raydistill.core.units import format_tokens
from raydistill.laws.capacity_gap.best_teacher import LEVEL
from raydistill.laws.capacity_gap.verdict import LAW_STUDENTS, CapacityGap
from raydistill.laws.fit import Estimate as LawEstimate
from raydistill.laws.published import CAPACITY_GAP
from raydistill.reports.capacity_gap.findings import (
    EQUAL_FLOPS,
    FREE,
    LARGEST,
    OWN_SIZE,
    GroupFindings,
    StudentFindings,
)
from raydistill.reports.results.agreement import TEST, verdict
from raydistill.reports.results.caveats import joined
from raydistill.specs.trial import CUT, OWN

PUBLISHED = "T* ≈ 2.498·S − 11.498M, Zhang et al. 2023"
FROM_PARAMS = CAPACITY_GAP.student_params(0)  # below it the published line is negative


def sentences(group: GroupFindings, *, small_scale: bool) -> tuple[str, ...]:
    """On the students of one start; the verdict comes first."""
    return (
        _verdict(group),
        *_no_minimum(group.law, small_scale=small_scale),
        *_line(group.law),
        *_without_embeddings(group),
        *_larger_hurts(group.students),
        *_confounded(group),
        *_published(group.law),
        *_anchors(group.students),
        _size_or_loss(group),
        *_left_out(group),
    )


def _left_out(group: GroupFindings) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in group.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"In no fit: {', '.join(names)}: {reason}."


def _verdict(group: GroupFindings) -> str:
    law = group.law
    if law.verdict == "law":
        return (
            f"A law at these sizes: {len(law.interior)} students each have a minimum between the "
            "teachers tried, and these lie on a line as teachers drawn at random seldom do."
        )
    begin = {
        "trend": f"A trend, no law: the best teacher of {len(law.interior)} students grows with "
        "the student.",
        "not supported": "The law is not supported.",
    }[law.verdict]
    return (
        f"{begin} A law would need {'; '.join(law.undecided)}. {_what_decides(law, group.students)}"
    )


def _what_decides(law: CapacityGap, students: Sequence[StudentFindings]) -> str:
    """What would decide it."""
    if len(law.interior) >= LAW_STUDENTS:
        return "What would decide: more students over a wider range of sizes, and more data seeds."
    cures = [f"at least {LAW_STUDENTS} students"] * (len(law.students) < LAW_STUDENTS)
    cures += [cure for of in students if (cure := _cure(of))]
    return f"What would decide: {joined(dict.fromkeys(cures))}."


def _cure(of: StudentFindings) -> str:
    """What a student lacks whose minimum is not interior."""
    outside = of.minimum.outside
    if outside.startswith("fewer than three"):
        return "more sizes of teacher near the best one"
    if outside.startswith("the interval") or (outside and len(of.tied) > 1):
        return "more data seeds or more tokens, so that teachers are told apart"
    return outside and f"{'larger' if 'largest' in outside else 'smaller'} teachers"


def _no_minimum(law: CapacityGap, *, small_scale: bool) -> Iterator[str]:
    if not law.interior:
        size = "at this small scale" if small_scale else "at these sizes"
        yield (
            f"No student has a minimum between the teachers tried {size}: how large its best "
            "teacher is cannot be told from them, and no line is fitted."
        )


def _line(law: CapacityGap) -> Iterator[str]:
    if law.slope is None or law.intercept is None:
        return
    enough = law.exponent is not None and law.null_p is not None
    if not enough:
        yield (
            f"The line through {len(law.interior)} minima has slope {law.slope.value:.3g}; two "
            "points have no scatter to tell its interval by."
        )
        return
    assert law.exponent is not None
    assert law.null_p is not None
    yield (
        f"T* = a·S + b through {len(law.interior)} interior minima: a {_with_range(law.slope)}, b "
        f"{_rounded_range(law.intercept)} parameters, exponent {_with_range(law.exponent)}. "
        "Teachers drawn at random from those tried lie on a line as well with p = "
        f"{law.null_p:.2g}."
    )


def _without_embeddings(group: GroupFindings) -> Iterator[str]:
    """The verdict by blocks alone, where there is a line by either count."""
    law = group.law_of_blocks
    if law.exponent is not None and law.slope is not None:
        yield (
            f"Counting blocks alone, without embeddings: {law.verdict}, a "
            f"{_with_range(law.slope)}, exponent {_with_range(law.exponent)}."
        )


def rounded(params: float) -> str:
    """A count of parameters in three digits.

    >>> rounded(294_912), rounded(1_234_567_890)
    ('295K', '1.23B')
    """
    return format_tokens(round(float(f"{params:.3g}")))


def _with_range(of: LawEstimate) -> str:
    return f"{of.value:.3g} [{of.low:.3g} {of.high:.3g}]"


def _rounded_range(of: LawEstimate) -> str:
    return f"{rounded(of.value)} [{rounded(of.low)} {rounded(of.high)}]"


def _larger_hurts(students: Sequence[StudentFindings]) -> Iterator[str]:
    """The paper's curse of capacity gap, as a claim on largest minus best."""
    signs = {of.student.name: of.beside[LARGEST].sign for of in students if LARGEST in of.beside}
    if not signs:
        return
    hurts = [name for name, sign in signs.items() if sign > 0]
    against = [
        of.student.name
        for of in students
        if of.student.name in signs and of.tied == {of.oldest[-1].teacher}
    ]
    untold = [name for name in signs if name not in (*hurts, *against)]
    parts = [
        *([f"it hurts {joined(hurts)}"] if hurts else []),
        *([f"it alone is the best for {joined(against)}"] if against else []),
        *([f"it is not told apart from the best for {joined(untold)}"] if untold else []),
    ]
    begin = verdict(agree=len(hurts), contradict=len(against), untold=len(untold))
    yield (
        f"{begin} the paper (a teacher that is too large hurts). The largest teacher against the "
        f"best ({TEST}): {'; '.join(parts)}."
    )


def _confounded(group: GroupFindings) -> Iterator[str]:
    """What start `cut` cannot tell: a student's teacher also decides its first weights."""
    if any(lesson.cells[0].start == CUT for of in group.students for lesson in of.student.lessons):
        yield (
            "These students are cut from their teachers, as in the paper: the larger the teacher, "
            "the less of it is left. What it teaches and what it leaves are not told apart here; "
            f"the start {OWN!r} tells what it teaches."
        )


def _published(law: CapacityGap) -> Iterator[str]:
    """Our line beside the published one, in words."""
    if law.students[-1].size <= FROM_PARAMS:
        yield (
            f"The published line ({PUBLISHED}) has no teacher for students below "
            f"{FROM_PARAMS / 1e6:.1f}M parameters, as all of these are: it can be neither "
            "confirmed nor contradicted here."
        )
        return
    if law.slope is None or law.exponent is None:
        return
    holds = law.slope.low <= CAPACITY_GAP.slope <= law.slope.high
    begin = verdict(agree=int(holds), contradict=int(not holds), untold=0)
    yield f"{begin} the published line ({PUBLISHED}): our slope is {_with_range(law.slope)}."


def _anchors(students: Sequence[StudentFindings]) -> Iterator[str]:
    """Whether the best teacher is worth having, and whether size helps it."""
    for what in (FREE, EQUAL_FLOPS, OWN_SIZE):
        signs = {of.student.name: of.beside[what].sign for of in students if what in of.beside}
        if not signs:
            continue
        groups = [
            (words, [name for name, sign in signs.items() if sign == of])
            for of, words in ((1, "below it"), (-1, "above it"), (0, "not told apart from it"))
        ]
        parts = [f"{words} for {joined(names)}" for words, names in groups if names]
        taught = "the taught student" if what == EQUAL_FLOPS else "the best teacher's student"
        yield f"Against {what} {taught} ends {'; '.join(parts)}."


def _size_or_loss(group: GroupFindings) -> str:
    result = group.size_or_loss
    if result is None:
        return (
            "Whether a teacher's size matters once its loss is known cannot be told: that needs "
            "three sizes of teacher at several ages each, and the loss of every teacher."
        )
    answer = {
        "size matters too": "size matters too",
        "loss is enough": "size adds nothing",
        "not told apart": f"whether size adds anything is not told apart at {100 * LEVEL:g} %",
    }[result.answer]
    return (
        f"Once the teacher's loss is known, {answer}: a student's loss with a teacher left out is "
        f"predicted within {result.by_loss:.4f} nats by the teacher's loss, and within "
        f"{result.with_size:.4f} with its size too ({result.teachers} teachers)."
    )
