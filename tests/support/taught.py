"""Made-up sweeps of students by teachers, whose losses follow a planted law."""

import dataclasses
import math
import zlib

from raydistill.core.units import B, format_tokens
from raydistill.reports.results.cells import ReportBase
from raydistill.specs.results import TaughtBy, UnitScores
from support.reported import LATE, TRAIN, cell, documents, scores_of, sweep

SIZES = {"tiny": 100_000, "small": 170_000, "medium": 290_000, "large": 490_000,
         "big": 830_000, "huge": 1_400_000, "giant": 2_400_000}  # fmt: skip
VOCABULARY = 512  # so that most parameters are those of blocks
AGES = (80 * B, 320 * B)
STUDENTS = ("tiny", "small", "medium", "large")


def shifted(nll, noise_seed, noise):
    """Documents of a mean loss; what chapters share is the same for all, as in paired runs."""
    split = documents(3.0, 0.6, 0)
    more = nll - split.nll.value + noise * math.sin(997.0 * noise_seed)
    sums = tuple(s + more * n for s, n in zip(split.nll.sums, split.nll.counts, strict=True))
    units = UnitScores(units=split.nll.units, sums=sums, counts=split.nll.counts)
    return dataclasses.replace(split, nll=units)


def teacher_nll(size, age):
    """Larger and older teachers are better."""
    return 2.2 + 40 / size**0.3 + 0.1 * (age == AGES[0])


def law(ratio=2.0, bend=0.05):
    """A student's loss is least with a teacher of `ratio` times its size."""

    def loss(student, teacher, age):
        return (
            3.2
            - 0.03 * math.log(student / 1e5)
            + bend * math.log(teacher / (ratio * student)) ** 2
            + 0.02 * (age == AGES[0])
        )

    return loss


def taught(student, teacher, age, nll, *, start="own", seed=1, loss="kd", tokens=1.0, noise=0.0005):
    """One cell of a student; `teacher` none is an anchor."""
    number = zlib.crc32(repr((student, teacher, age, start, loss, seed)).encode()) % 1000
    split = shifted(nll, number, noise)
    recipe = dataclasses.replace(TRAIN.recipe, budget_tokens=round(319_488 * tokens))
    train = dataclasses.replace(TRAIN, loss=loss, seed=seed, recipe=recipe)
    sample = cell("none", train=train)
    result = sample.outcome.result
    model = dataclasses.replace(result.trained.model, vocab_size=VOCABULARY, dim=width(student))
    trained = dataclasses.replace(result.trained, model=model)
    outcome = dataclasses.replace(
        sample.outcome, documents=split, result=dataclasses.replace(result, trained=trained)
    )
    name = teacher if teacher == "none" else f"{teacher}@{format_tokens(age)}"
    beside = loss != "lm" and teacher != student
    return dataclasses.replace(
        sample,
        scale=student,
        num_params=SIZES[student],
        age=LATE.age,
        values={"size": student, "teacher": name, "start": start, "loss": loss},
        outcome=outcome,
        taught_by=taught_by(teacher, age) if beside else None,
    )


def width(model):
    return 8 * round(math.sqrt(SIZES[model] / 40) / 8)


def taught_by(teacher, age):
    return TaughtBy(
        name=f"{teacher}@{format_tokens(age)}", model=teacher, revision=format_tokens(age),
        num_layers=4, dim=width(teacher),
        num_params=SIZES[teacher], flops_per_token=2 * SIZES[teacher],
    )  # fmt: skip


def base_of(model, age):
    split = shifted(teacher_nll(SIZES[model], age), 0, 0.0)
    return ReportBase(
        scale=model, age=age, age_tokens=age // 22_857, num_params=SIZES[model],
        scores=scores_of(split), documents=split,
    )  # fmt: skip


def gap_cells(
    loss,
    students=STUDENTS,
    teachers=tuple(SIZES),
    *,
    start="own",
    ages=AGES,
    seeds=(1, 2),
    noise=0.0005,
):
    """Every student with every teacher, and without one."""
    free = {"loss": "lm", "start": start, "noise": noise}
    return [
        *(
            taught(s, t, age, loss(SIZES[s], SIZES[t], age), start=start, seed=seed, noise=noise)
            for s in students for t in teachers for age in ages for seed in seeds
        ),
        *(taught(s, "none", 0, 3.3, seed=seed, **free) for s in students for seed in seeds),
        *(
            taught(s, t, ages[-1], 3.25, seed=seed, tokens=1.5, **free)
            for s in students for t in teachers for seed in seeds
        ),
    ]  # fmt: skip


def gap_sweep(cells, models=tuple(SIZES)):
    report = sweep(cells, [base_of(model, age) for model in models for age in AGES])
    return dataclasses.replace(
        report, sweep="capacity_gap", question="Which teacher for which student?"
    )
