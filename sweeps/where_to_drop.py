"""Where in the model should the layers come out of?

Jha et al. (2023), section 5.3 and Table 5. A third of the layers leave at once from nine
places, in a young and in a saturated checkpoint; each model then trains on 20B more tokens.

    python sweeps/where_to_drop.py                          # this machine, minutes
    python sweeps/where_to_drop.py --dry-run                # every trial, its layers and its cost
    python sweeps/where_to_drop.py --location input,5-8 --age 320B
    ray job submit -- python sweeps/where_to_drop.py        # a cluster

Which layers a location means: `specs/locations.py`. When they leave: `specs/drop_plan.py`.
What takes them out: `Student.remove` in `models/student.py`, called by `training/loop.py`.
"""

from raydistill.api import (
    LOCATIONS,
    NONE,
    RANDOM_LOCATIONS,
    Age,
    B,
    Scale,
    Sweep,
    TrialRequest,
    main,
)


def trial(scale: Scale, age: Age, location: str) -> TrialRequest:
    """One cell of Table 5."""
    return scale.trial(age=age, location=location, count=scale.count)


EARLY, LATE = (80 * B,), (320 * B,)

sweep = Sweep(
    name="where_to_drop",
    question="Where in the model should the layers come out of?",
    axes={
        "age": (*EARLY, *LATE),
        "location": (NONE, *LOCATIONS, "block-influence", *RANDOM_LOCATIONS),
    },
    trial=trial,
    at={
        "paper_1b": (
            {"age": (160 * B,), "location": (NONE, "max-gap", "input", "both", "middle")},
        ),
        "laptop": (
            {"age": LATE, "location": (NONE, *LOCATIONS, "block-influence", *RANDOM_LOCATIONS)},
            {"age": EARLY, "location": (NONE, "input", "middle")},
        ),
        "smoke": (
            {"age": LATE, "location": (NONE, "input", "output")},
            {"age": EARLY, "location": (NONE, "input")},
        ),
    },
)

if __name__ == "__main__":
    main(sweep)
