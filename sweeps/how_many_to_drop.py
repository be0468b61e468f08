"""How many layers may leave, at what age, from a model of what size?

Jha et al. (2023), section 5.4 and Figure 3. From a sixth to two thirds of the layers leave from the
input, in models of two sizes and at several ages; each then trains on 20B more tokens.

    python sweeps/how_many_to_drop.py                       # this machine, minutes
    python sweeps/how_many_to_drop.py --size laptop --count 1,2,3
    ray job submit -- python sweeps/how_many_to_drop.py     # a cluster
"""

from raydistill.api import NONE, Age, Axes, B, Scale, Sweep, TrialRequest, main


def trial(scale: Scale, size: str, age: Age, count: int) -> TrialRequest | None:
    """One point of Figure 3; count 0 is the control."""
    del size  # `scale` is the scale of that size
    if age not in scale.ages:
        return None
    return scale.trial(age=age, location="input" if count else NONE, count=count)


PAPER: Axes = {
    "size": ("paper_300m", "paper_1b"),
    "age": (80 * B, 160 * B, 320 * B),
    "count": (0, 4, 8, 12, 16),
}
LAPTOP: Axes = {
    "size": ("laptop", "laptop_small"),
    "age": (80 * B, 320 * B),
    "count": (0, 2, 4, 6, 8),
}
SMOKE: Axes = {"size": ("smoke", "smoke_small"), "age": (80 * B, 320 * B), "count": (0, 1, 2, 4)}

sweep = Sweep(
    name="how_many_to_drop",
    question="How many layers may leave, at what age, from a model of what size?",
    axes=PAPER,
    trial=trial,
    at={
        "laptop": (LAPTOP,),
        "laptop_small": (LAPTOP,),
        "smoke": (SMOKE,),
        "smoke_small": (SMOKE,),
    },
)

if __name__ == "__main__":
    main(sweep)
