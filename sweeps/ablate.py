"""Which of the choices around a good recipe matter, one at a time?

Every cell changes one thing of a point, by default the scale's own recipe with layers leaving from
the input. The report orders the changes by what they cost or save against the point, which is
trained as often as each of them, and says which are told apart from it.

    python sweeps/ablate.py                                           # this machine, minutes
    python sweeps/ablate.py --around lr=3e-4,location=middle          # another point
    python sweeps/ablate.py --set lr=1e-4,3e-4 --set loss=kd          # these changes instead
    python sweeps/ablate.py --change 'point,lr*4,warmup_tokens*2'     # the same, with factors
    ray job submit -- python sweeps/ablate.py                         # a cluster

Changes that interact are not seen one at a time: `--set lr=1e-4,3e-4 --set weight_decay=0,0.01`
of another sweep crosses them.
"""

from typing import Any

from raydistill.api import POINT, Age, Axes, B, Scale, Sweep, TrialRequest, changed, main


def trial(scale: Scale, age: Age, location: str, gap: int, loss: str, change: str) -> TrialRequest:
    """The point with one change."""
    point: dict[str, Any] = {"location": location, "count": scale.count, "gap": gap, "loss": loss}
    return scale.trial(age=age, **(point | changed(scale, change)))


AXES: Axes = {
    "age": (320 * B,),
    "location": ("input",),
    "gap": (0,),
    "loss": ("lm",),
    "change": (
        POINT,
        *("lr*0.5", "lr*2", "weight_decay=0", "weight_decay=0.01", "schedule=wsd"),
        *("warmup_tokens=0", "loss=kd", "location=middle", "location=none"),
    ),
}
# A model of one's own may have no warm phase, a smallest batch, and a budget without room for gaps.
OF_SCALES = ("warm_phase_tokens=0", "batch_tokens*0.5", "gap=500M")
FULL: Axes = {**AXES, "change": (*AXES["change"], *OF_SCALES)}
LARGE: Axes = {**FULL, "age": (160 * B,)}
SMOKE: Axes = {**AXES, "change": (POINT, "lr*0.5", "lr*2", "weight_decay=0", "location=none")}

sweep = Sweep(
    name="ablate",
    question="Which of the choices around a good recipe matter, one at a time?",
    axes=AXES,
    trial=trial,
    at={
        "paper_300m": (FULL,),
        "paper_1b": (LARGE,),
        "laptop": (FULL,),
        "laptop_small": (FULL,),
        "smoke": (SMOKE,),
        "smoke_small": (SMOKE,),
    },
    seeds=(1, 2),
)

if __name__ == "__main__":
    main(sweep)
