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
    main,
)

KD = "kd"
STARTS = {"own": FROM_BASE, "cut": CUT, "scratch": SCRATCH}


def trial(scale: Scale, size: str, teacher: str, start: str, loss: str) -> TrialRequest | None:
    """A student of one teacher, or an anchor without; nothing is removed."""
    del size  # `scale` is the scale of that size
    if start not in STARTS:
        raise UsageError(f"--start {start!r}: one of {', '.join(STARTS)}")
    if teacher == NONE and loss != TEACHER_FREE:
        return None  # nobody to learn from
    is_untaught = loss == TEACHER_FREE or scale.budget == 0
    if start == "cut" and (is_untaught or not fits_into_teacher(scale)):
        return None  # nothing to cut from
    request = scale.trial(
        age=scale.ages[-1],
        location=NONE,
        count=0,
        loss=loss,
        share=1 / scale.kd_share(0) if loss == TEACHER_FREE and teacher != NONE else 1.0,
        start=STARTS[start],
    )
    return request if loss == TEACHER_FREE else replace(request, teacher=teacher)


def grids(
    students: Sequence[str], teachers: Sequence[str], starts: Sequence[str] = tuple(STARTS)
) -> tuple[Axes, ...]:
    """The anchors; every teacher from the own base; the oldest of each size from other starts."""
    oldest = tuple({name.partition("@")[0]: name for name in teachers}.values())
    others = tuple(start for start in starts if start != "own")

    def grid(teachers: Sequence[str], starts: Sequence[str], loss: str) -> Axes:
        return {"size": students, "teacher": teachers, "start": starts, "loss": (loss,)}

    return (
        grid((NONE,), ("own", "scratch"), TEACHER_FREE),
        grid(oldest, ("own",), TEACHER_FREE),
        grid(teachers, ("own",), KD),
        grid(oldest, others, KD),
    )


def family(scale: str, widths: Sequence[int], own: int) -> dict[int, str]:
    """The scales of a family by their width; its `own` has the plain name."""
    return {width: scale if width == own else f"{scale}+width={width}" for width in widths}


def at_ages(sizes: Sequence[str], ages: Sequence[str]) -> tuple[str, ...]:
    """Each size at each age, the oldest last."""
    return tuple(f"{size}@{age}" for size in sizes for age in ages)


PAPER = grids(
    ("paper_300m", "paper_1b"),
    (*at_ages(["paper_300m"], ["80B", "320B"]), *at_ages(["paper_1b"], ["80B", "160B"])),
)
_LAPTOP = family("laptop_family", (16, 32, 48, 64, 96, 128), own=64)
LAPTOP = grids(
    [_LAPTOP[width] for width in (16, 32, 48, 64)],
    at_ages(list(_LAPTOP.values()), ["80B", "160B", "320B"]),
)
_SMOKE = family("smoke_family", (8, 16, 32), own=16)
SMOKE = grids([_SMOKE[8], _SMOKE[16]], at_ages([_SMOKE[16], _SMOKE[32]], ["80B", "320B"]))

sweep = Sweep(
    name="capacity_gap",
    question="Which teacher for which student?",
    axes={**PAPER[0], "teacher": (NONE, *PAPER[2]["teacher"]), "loss": (TEACHER_FREE, KD)},
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
