"""Which teacher for which student? The law of capacity gap.

Zhang et al. (2023), *Towards the law of capacity gap*. Students of several sizes learn from
teachers of several sizes and ages (METHOD 8). Ages of one run are teachers of one size and several
losses: they tell whether a student's loss follows its teacher's size or its teacher's loss.

    python sweeps/capacity_gap.py                          # this machine, minutes
    python sweeps/capacity_gap.py --start own,cut          # fewer beginnings
    python sweeps/capacity_gap.py --size laptop_family+width=32 --teacher none,laptop_family@320B
    ray job submit -- python sweeps/capacity_gap.py        # a cluster

A student starts from its `own` base, the same for all teachers, `cut` from its teacher, or from
`scratch`. Beside KD (`--loss kd`) stands the student without a teacher (`--loss lm`): with teacher
`none` on as many tokens, with a teacher's name on as many FLOPs as KD from that teacher takes.
"""

from collections.abc import Sequence
from dataclasses import replace

from raydistill.api import (
    CUT,
    FROM_BASE,
    NONE,
    SCRATCH,
    TEACHER_FREE,
    Axes,
    Scale,
    Sweep,
    TrialRequest,
    UsageError,
    fits_into_teacher,
    has_teacher,
    main,
)

KD = "kd"
STARTS = {"own": FROM_BASE, "cut": CUT, "scratch": SCRATCH}


def trial(scale: Scale, size: str, teacher: str, start: str, loss: str) -> TrialRequest | None:
    """A student of one teacher, or an anchor without; nothing is removed."""
    del size  # `scale` is the scale of that size
    if start not in STARTS:
        raise UsageError(f"--start {start!r}: one of {', '.join(STARTS)}")
    taught = has_teacher(loss)
    if teacher == NONE and taught:
        return None  # nobody to learn from
    is_untaught = not taught or scale.budget == 0
    if start == "cut" and (is_untaught or not fits_into_teacher(scale)):
        return None  # nothing to cut from
    request = scale.trial(
        age=scale.ages[-1],
        location=NONE,
        count=0,
        loss=loss,
        share=1 / scale.kd_share(0) if not taught and teacher != NONE else 1.0,
        start=STARTS[start],
    )
    return replace(request, teacher=teacher) if taught else request


def grids(
    students: Sequence[str],
    teachers: Sequence[str],
    younger: Sequence[str],
    scratch: Sequence[str] = (),
    anchors: Sequence[str] = (),
) -> tuple[Axes, ...]:
    """The anchors on as many tokens and on as many FLOPs, then the students of each start.

    Args:
        students: scales.
        teachers: each at its oldest age; all of them teach students that start from their own base.
        younger: the same models at other ages, which teach those too.
        scratch: of `teachers` those of students from scratch; by default all.
        anchors: of `teachers` those whose FLOPs anchors have; by default all.
    """

    def grid(teachers: Sequence[str], starts: Sequence[str], loss: str) -> Axes:
        return {"size": students, "teacher": teachers, "start": starts, "loss": (loss,)}

    return (
        grid((NONE,), ("own", "scratch"), TEACHER_FREE),
        grid(anchors or teachers, ("own",), TEACHER_FREE),
        grid((*younger, *teachers), ("own",), KD),
        grid(teachers, ("cut",), KD),
        grid(scratch or teachers, ("scratch",), KD),
    )


def family(scale: str, widths: Sequence[int], own: int) -> list[str]:
    """The scales of a family by width; its `own` has the plain name."""
    return [scale if width == own else f"{scale}+width={width}" for width in widths]


def at_ages(sizes: Sequence[str], *ages: str) -> list[str]:
    """Each size at each age."""
    return [f"{size}@{age}" for size in sizes for age in ages]


PAPER = grids(
    ("paper_300m", "paper_1b"),
    ("paper_300m@320B", "paper_1b@160B"),
    younger=("paper_300m@80B", "paper_1b@80B"),
)
LAPTOP = grids(
    family("laptop_family", (16, 32, 48, 64), own=64),
    at_ages(family("laptop_family", (16, 32, 48, 64, 96, 128), own=64), "320B"),
    younger=at_ages(family("laptop_family", (64, 128), own=64), "80B", "160B"),
    scratch=at_ages(family("laptop_family", (32, 64, 128), own=64), "320B"),
    anchors=["laptop_family@320B"],
)
SMOKE = grids(
    family("smoke_family", (8, 16), own=16),
    at_ages(family("smoke_family", (16, 32), own=16), "320B"),
    younger=["smoke_family@80B"],
)

sweep = Sweep(
    name="capacity_gap",
    question="Which teacher for which student?",
    axes={
        **PAPER[0],
        "start": tuple(STARTS),
        "teacher": (NONE, *PAPER[2]["teacher"]),
        "loss": (TEACHER_FREE, KD),
    },
    trial=trial,
    at={
        **dict.fromkeys(("paper_300m", "paper_1b"), PAPER),
        **dict.fromkeys(("laptop", "laptop_small", "laptop_family"), LAPTOP),
        **dict.fromkeys(("smoke", "smoke_small", "smoke_family"), SMOKE),
    },
    seeds=(1, 2),
)

if __name__ == "__main__":
    main(sweep)
