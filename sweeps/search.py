"""What is the best way to a smaller model, beyond the grid?

Location, count, gap, loss and learning rate at once, by Optuna's TPE through Tune, for several
objectives: held-out loss, and parameters kept. The paper's best choices (Jha et al., 2023, Table 5)
are tried first. The report ends with the Pareto set, its figure, and the winner trained on new
seeds beside the best preset.

    python sweeps/search.py                                 # this machine, minutes
    python sweeps/search.py --trials 30                     # resumes: finished ones count
    python sweeps/search.py --objective delta_nll,downstream,flops --age 80B,320B
    python sweeps/search.py --search funnel --count 4 --gap 0 --loss lm --lr_factor 1
    ray job submit -- python sweeps/search.py               # a cluster

A free layer set is a `random-i`, a list drawn by its number: it has a name, is the same in every
sweep, and always has the requested count, which a choice per layer has not. Many of them are
compared at less cost by the funnel: `--location all,random-0-63 --search funnel`.
"""

from dataclasses import replace

from raydistill.api import (
    LOCATIONS,
    RANDOM_LOCATIONS,
    TEACHER_FREE,
    TPE,
    Age,
    Axes,
    B,
    M,
    Scale,
    SearchSettings,
    Sweep,
    TrialRequest,
    Value,
    main,
)


def trial(
    scale: Scale, age: Age, location: str, count: int, gap: int, loss: str, lr_factor: float
) -> TrialRequest | None:
    """One cell; a single layer has no gap to another."""
    if count == 1 and gap:
        return None
    request = scale.trial(age=age, location=location, count=count, gap=gap, loss=loss)
    if lr_factor == 1:
        return request
    return replace(request, peak_lr=lr_factor * scale.heal.peak_lr)


SCORES = ("block-influence", "angular-distance", "loss-increase")

PAPER: Axes = {
    "age": (320 * B,),
    "location": (*LOCATIONS, *SCORES, *RANDOM_LOCATIONS),
    "count": (8, 4, 12),
    "gap": (0, 500 * M),
    "loss": (TEACHER_FREE, "kd"),
    "lr_factor": (1.0, 0.5, 2.0),  # of the recipe's peak, drawn on a log scale
}
LAPTOP: Axes = {**PAPER, "count": (4, 2, 6)}
SMOKE: Axes = {**PAPER, "count": (2, 1, 3), "gap": (0, 1 * B)}  # 500M would be no step there
USUAL: dict[str, Value] = {"gap": 0, "loss": TEACHER_FREE, "lr_factor": 1.0}

sweep = Sweep(
    name="search",
    question="What is the best way to a smaller model, beyond the grid?",
    axes=PAPER,
    trial=trial,
    at={
        "paper_1b": ({**PAPER, "age": (160 * B,), "count": (12, 6, 8)},),
        "laptop": (LAPTOP,),
        "laptop_small": (LAPTOP,),
        "smoke": (SMOKE,),
        "smoke_small": (SMOKE,),
    },
    searching=SearchSettings(
        name=TPE,
        trials=8,
        objectives=("delta_nll", "parameters"),
        first=tuple({"location": name, **USUAL} for name in ("max-gap", "input", "both")),
        new_seeds=2,
    ),
)

if __name__ == "__main__":
    main(sweep)
