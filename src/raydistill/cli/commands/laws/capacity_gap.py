"""`raydistill law capacity-gap`: the teacher that a student wants, by size or under a budget."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, replace

from raydistill.cli.arguments.law_flags import TeacherText
from raydistill.core.errors import UsageError
from raydistill.laws.capacity_gap.verdict import FORM as LINE
from raydistill.laws.distillation.answers import (
    PUBLISHED,
    DistillationLaw,
    FittedLaw,
    PublishedLaw,
    ask_budget,
)
from raydistill.laws.distillation.budget import EXISTING, Budget, Candidate, Teacher
from raydistill.laws.distillation.ladder import NAME, stored_surface
from raydistill.laws.extrapolation import predict
from raydistill.laws.fit import Fit
from raydistill.laws.forms.capacity_gap import INPUT
from raydistill.laws.published import CAPACITY_GAP
from raydistill.laws.stored import stored_fits
from raydistill.reports import law_answers, laws
from raydistill.reports.console.console import open_console
from raydistill.reports.figures.laws import (
    budget_figure,
    check_picture,
    save_picture,
    teacher_figure,
)
from raydistill.reports.formats.terminal import print_pairs, print_section, print_text
from raydistill.reports.tables.grids import Section
from raydistill.storage.store import Store


def capacity_gap(store: Store, flags: argparse.Namespace) -> int:
    """Print which teacher a student wants.

    Raises:
        UsageError: if flags do not go together, nothing was fitted, or it does not reach so far.
    """
    if flags.plot:
        check_picture(flags.plot)
    if (flags.flops is None) != (flags.teachers is None):
        raise UsageError("--flops and --teachers go together: a budget, and who may teach for it")
    if flags.share is not None and flags.flops is None:
        raise UsageError("--share goes with --flops and --teachers")
    return _under_budget(store, flags) if flags.flops else _by_size(store, flags)


def _by_size(store: Store, flags: argparse.Namespace) -> int:
    law_id, law = _line(store, flags)
    answer = predict(law, {INPUT: flags.student}, far=flags.far) if law else None
    if law and _teacher_params(law, flags.student) <= 0:
        raise UsageError(
            f"law {law_id} is below 0 for a student of {laws.amount(flags.student)}: it has no "
            "teacher there. Add points of students as small"
        )
    if flags.json:
        fields = {
            "student_params": flags.student,
            "answer": answer and asdict(answer),
            "published_teacher_params": CAPACITY_GAP.teacher_params(flags.student),
            "published_source": CAPACITY_GAP.source,
            "law": law and laws.fit_fields(law, law_id),
        }
        open_console().print(laws.to_json(fields), soft_wrap=True)
    else:
        console = open_console()
        section = law_answers.teacher_section(flags.student, answer)
        print_pairs(replace(section, rows=(*section.rows, *_law_rows(law_id, law))), console)
    if flags.plot:
        save_picture(teacher_figure(law, flags.student), flags.plot)
    return 0


def _teacher_params(law: Fit, student_params: float) -> float:
    """Of the line itself: 0 or less where it has no teacher."""
    slope, intercept = law.parameters["slope"], law.parameters["intercept"]
    return slope.value * student_params + intercept.value


def _line(store: Store, flags: argparse.Namespace) -> tuple[str, Fit | None]:
    """The line that is asked, with its id; None is the published one."""
    if flags.law == PUBLISHED:
        return PUBLISHED, None
    lines = {fit_id: law for fit_id, law in stored_fits(store).items() if law.form == LINE}
    if not lines and flags.law is None:
        published = law_answers.published_teacher(flags.student)
        raise UsageError(
            f"no capacity-gap law was fitted in {store.root}: run the sweep capacity_gap, or fit a "
            f"table of students and their best teachers (law fit FILE --form {LINE} --save). "
            f"Published, --law {PUBLISHED}: {published}"
        )
    return chosen_law(lines, flags.law)


def _under_budget(store: Store, flags: argparse.Namespace) -> int:
    law_id, law, fit = _distillation(store, flags)
    budget = Budget(flops=flags.flops, student_params=flags.student, share=flags.share or 1.0)
    candidates = [_candidate(one, law, budget, far=flags.far) for one in flags.teachers]
    answer = ask_budget(law, budget, candidates, far=flags.far)
    if flags.json:
        fields = {
            **asdict(budget),
            "trained": [asdict(one) for one in candidates if one and budget.share != EXISTING],
            "answer": asdict(answer),
            "law": fit and laws.fit_fields(fit, law_id),
            "caveat": "" if fit else law_answers.UNCONFIRMED,
        }
        open_console().print(laws.to_json(fields), soft_wrap=True)
    else:
        console = open_console()
        print_section(law_answers.budget_section(budget, answer), console)
        facts = [*law_answers.budget_facts(budget, candidates, answer), *_law_rows(law_id, fit)]
        print_pairs(Section(title="", headers=(), rows=tuple(facts)), console)
        if fit is None:
            print_text(f"\nBy {law_answers.UNCONFIRMED}.", console, style="yellow")
    if flags.plot:
        save_picture(budget_figure(law, budget, candidates, answer.searched), flags.plot)
    return 0


def _distillation(
    store: Store, flags: argparse.Namespace
) -> tuple[str, DistillationLaw, Fit | None]:
    """The law that is asked, its id, and its fit if it was fitted here."""
    if flags.law == PUBLISHED:
        return PUBLISHED, PublishedLaw(), None
    fits = {i: law for i, law in stored_fits(store).items() if law.form.partition("+")[0] == NAME}
    if not fits and flags.law is None:
        raise UsageError(
            f"no distillation law was fitted in {store.root}: fit a table of runs with and without "
            f"a teacher (law fit FILE --form {NAME} --save), or --law {PUBLISHED}, whose "
            "constants are unconfirmed"
        )
    law_id, gap = chosen_law(fits, flags.law)
    surface = stored_surface(store, law_id)
    if surface is None:
        raise UsageError(
            f"law {law_id} was fitted with too few runs without a teacher to say what a student "
            "reaches at other tokens: add some, of three sizes at three budgets or more"
        )
    return law_id, FittedLaw(gap=gap, surface=surface), gap


def chosen_law(fits: Mapping[str, Fit], beginning: str | None) -> tuple[str, Fit]:
    """The fit whose id begins so; by default the last one that was kept."""
    names = [fit_id for fit_id in fits if fit_id.startswith(beginning or "")]
    if not names or (beginning and len(names) > 1):
        raise UsageError(
            f"--law {beginning!r}: {len(names)} laws of this kind have such an id: "
            f"{', '.join(names or fits) or 'there is none'}"
        )
    return names[-1], fits[names[-1]]


def _candidate(
    one: TeacherText | None, law: DistillationLaw, budget: Budget, *, far: bool
) -> Candidate:
    """A teacher with its tokens, by the law where they are not given and its training counts."""
    if one is None:
        return None
    tokens = one.tokens or 0.0
    if one.tokens is None and budget.share != EXISTING:
        tokens = law.tokens_for(one.params, one.loss, far=far)
    if math.isinf(tokens):
        raise UsageError(
            f"--teachers {one.text}: by this law no model of that size reaches that loss: give its "
            f"training tokens, {one.text}@300B, or --share existing if it is there anyway"
        )
    return Teacher(name=one.text, params=one.params, loss=one.loss, tokens=tokens)


def _law_rows(law_id: str, law: Fit | None) -> tuple[tuple[str, str], ...]:
    if law is None:
        return ()
    return (("law", f"{law_id}, {law.form}"), *laws.fit_facts(law)[:2], *laws.notes(law))
