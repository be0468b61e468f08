"""When should the layers come out: all at once, or one after the other?

Jha et al. (2023), section 5.2 and Figure 1. A third of the layers leave from the input, at once or
with a gap between two removals, from a young and a saturated checkpoint. A gap keeps layers longer
and so costs more: each gap also runs on as many tokens as cost the same FLOPs.

    python sweeps/when_to_drop.py                           # this machine, minutes
    python sweeps/when_to_drop.py --gap 0,2B --age 320B
    ray job submit -- python sweeps/when_to_drop.py         # a cluster
"""

from raydistill.api import NONE, Age, Axes, B, M, Scale, Sweep, TrialRequest, UsageError, main


def trial(scale: Scale, age: Age, location: str, gap: int, equal: str) -> TrialRequest | None:
    """One bar of Figure 1, at equal tokens or at equal FLOPs."""
    if equal not in ("tokens", "flops"):
        raise UsageError(f"--equal {equal!r}: tokens or flops")
    if (gap == 0 and equal == "flops") or (location == NONE and gap):
        return None  # the same as without
    share = scale.gap_share(scale.count, gap) if equal == "flops" else 1.0
    return scale.trial(age=age, location=location, count=scale.count, gap=gap, share=share)


AXES: Axes = {
    "age": (80 * B, 320 * B),
    "location": (NONE, "input"),
    "gap": (0, 100 * M, 500 * M, 1 * B),
    "equal": ("tokens", "flops"),
}
LARGE: Axes = {**AXES, "age": (80 * B, 160 * B)}
SMOKE: Axes = {**AXES, "gap": (0, 1 * B, 2 * B)}  # 100M would be no step there

sweep = Sweep(
    name="when_to_drop",
    question="When should the layers come out: all at once, or one after the other?",
    axes=AXES,
    trial=trial,
    at={"paper_1b": (LARGE,), "smoke": (SMOKE,), "smoke_small": (SMOKE,)},
)

if __name__ == "__main__":
    main(sweep)
