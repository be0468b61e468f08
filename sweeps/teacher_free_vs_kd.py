"""Is a teacher worth its price?

Jha et al. (2023), section 5.1, Tables 3 and 4. Half of the layers leave from the input; each
student then trains on 20B more tokens, with the language modelling loss alone or with KD too.
Beside them the arms that a reviewer would ask for (METHOD 7): KD for the same FLOPs, no training
at all, the whole base trained on, and the student's size trained from scratch.

    python sweeps/teacher_free_vs_kd.py                                   # this machine, minutes
    python sweeps/teacher_free_vs_kd.py --arm control,teacher-free,minima,kd+temperature=2
    python sweeps/teacher_free_vs_kd.py --arm kd,kd-cached                # the teacher is shared
    python sweeps/teacher_free_vs_kd.py --arms all                        # nothing shipped is used
    ray job submit -- python sweeps/teacher_free_vs_kd.py                 # a cluster
"""

from dataclasses import replace
from functools import partial

from raydistill.api import (
    DEFAULT_EXCERPT,
    NONE,
    SCRATCH,
    SCRATCH_WITH_AGE,
    Age,
    B,
    Scale,
    Sweep,
    TrialRequest,
    main,
)

ARMS = (
    "base",
    "control",
    "one-shot",
    "teacher-free",
    "kd",
    "kd-equal-flops",
    "scratch",
    "scratch-with-age",
)


def can_start(scale: Scale, start: str) -> bool:
    """Not on no tokens, nor on as many as a custom model had seen, which is unknown."""
    return scale.budget > 0 and not (scale.brought and start == SCRATCH_WITH_AGE)


def trial(scale: Scale, age: Age, location: str, arm: str) -> TrialRequest | None:
    """One arm; any loss with a teacher is one too by its name, and with `-cached` behind it."""
    half = scale.model.num_layers // 2
    request = partial(scale.trial, age=age, location=location, count=half)
    match arm:
        case "base":
            return request(location=NONE, share=0)
        case "control":
            return request(location=NONE)
        case "one-shot":
            return request(share=0)
        case "teacher-free":
            return request()
        case "scratch" | "scratch-with-age":
            start = {"scratch": SCRATCH, "scratch-with-age": SCRATCH_WITH_AGE}[arm]
            return request(start=start) if can_start(scale, start) else None
        case _ if arm.endswith("-cached"):
            return replace(request(loss=arm.removesuffix("-cached")), excerpt=DEFAULT_EXCERPT)
        case _:
            loss = arm.removesuffix("-equal-flops")
            return request(loss=loss, share=1.0 if loss == arm else scale.kd_share(half))


sweep = Sweep(
    name="teacher_free_vs_kd",
    question="Is a teacher worth its price?",
    axes={"age": (320 * B,), "location": ("input",), "arm": ARMS},
    trial=trial,
    at={"paper_1b": ({"age": (160 * B,), "location": ("input",), "arm": ARMS},)},
    seeds=(1, 2, 3),
)

if __name__ == "__main__":
    main(sweep)
