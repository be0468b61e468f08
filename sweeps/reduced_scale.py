"""What does pretraining still give at a million parameters? Shapes at a reduced scale.

Deshpande et al. (2023), *Honey, I shrunk the language*. Each run is the pretraining of one shape
from fresh weights, and every age that is kept of it is a cell: nothing is removed and nothing is
trained further. Around a base shape one width or number changes at a time; sets of several depths
have equal parameters or equal FLOPs (METHOD 9).

    python sweeps/reduced_scale.py                          # this machine, minutes
    python sweeps/reduced_scale.py --size reduced,reduced+layers=8 --age 512K
    ray job submit -- python sweeps/reduced_scale.py        # a cluster

The paper's models are masked. On the laptop causal ones lead, as every token is a target there, and
the masked ones show how long such a model knows no more than how frequent each word is.
"""

from collections.abc import Iterable, Mapping, Sequence

from raydistill.api import NONE, Age, Axes, Scale, Sweep, TrialRequest, load_scale, main


def trial(scale: Scale, size: str, age: Age) -> TrialRequest | None:
    """A base as it is."""
    del size  # `scale` is the scale of that size
    if age not in scale.ages:
        return None
    return scale.trial(age=age, location=NONE, count=0, share=0.0)


def named(scale: str, settings: Mapping[str, int | float | str]) -> str:
    """A scale's name with settings."""
    return "+".join([scale, *(f"{key}={value}" for key, value in settings.items())])


def around(scale: str, values: Mapping[str, Sequence[int]], **shape: int) -> list[str]:
    """A shape, and those that differ from it in one of the values."""
    others = [shape | {key: value} for key in values for value in values[key]]
    return [named(scale, settings) for settings in (shape, *others)]


def depths(*shapes: tuple[int, int, int]) -> list[str]:
    """Shapes of the laptop by layers, width and feed-forward width."""
    return [named("reduced", {"layers": n, "width": w, "feed_forward": f}) for n, w, f in shapes]


def grid(sizes: Iterable[str], ages: Iterable[Age]) -> tuple[Axes, ...]:
    """Each size at each age that it has."""
    names = (load_scale(size).name for size in sizes)
    return ({"size": tuple(dict.fromkeys(names)), "age": tuple(dict.fromkeys(ages))},)


HONEYS = {
    "embedding": (8, 16, 32, 64, 128, 256),
    "width": (32, 64, 128, 256),
    "feed_forward": (32, 64, 128, 256, 512, 1024),
    "heads": (1, 2, 4, 8),
    "layers": (1, 2, 4, 8),
}
PAPER = grid(
    [
        *around("honey", HONEYS, embedding=256, width=256, feed_forward=1024, heads=8, layers=8),
        *around("honey", HONEYS, embedding=32, width=32, feed_forward=128, heads=2, layers=2),
    ],
    load_scale("honey").ages,
)

EQUAL_PARAMETERS = (  # without embeddings and head, to about a percent
    depths((1, 48, 144), (2, 32, 128), (4, 16, 168)),
    depths((1, 64, 288), (2, 48, 192), (4, 32, 160)),
    depths((1, 88, 360), (2, 64, 256), (4, 40, 232)),
)
EQUAL_FLOPS = (  # of a token, by the exact rule, to about a percent
    depths((1, 40, 96), (2, 32, 128), (4, 24, 128)),
    depths((1, 56, 312), (2, 48, 192), (4, 40, 96)),
    depths((1, 80, 312), (2, 64, 256), (4, 48, 208)),
)
LAPTOPS = {
    "width": (16, 64, 96),
    "layers": (1, 4, 8),
    "heads": (1, 8),
    "feed_forward": (32, 512),
    "embedding": (8, 64),
}
MASKED = [named("reduced", {**shape, "mask": 0.15}) for shape in ({}, {"width": 64}, {"layers": 4})]
LADDER = [
    named("reduced", {"text": text, "width": width})
    for text in ("bbe", "bbe-2000", "bbe-1000")
    for width in (32, 64)
]
LONG = (
    "reduced+embedding=64+feed_forward=256+lr=0.001+mask=0.4+schedule=cosine"
    "+text=bbe+tokens=12M+width=64"
)
LAPTOP = grid(
    [
        *around("reduced", LAPTOPS),
        *(shape for same in (*EQUAL_PARAMETERS, *EQUAL_FLOPS) for shape in same),
        *MASKED,
        *LADDER,
    ],
    (*load_scale("reduced").ages, *load_scale(LONG).ages),
)

SMOKES = {"width": (8,), "layers": (2,)}
SMOKE = grid(
    [*around("smoke_reduced", SMOKES), "smoke_reduced+mask=0.15"],
    load_scale("smoke_reduced").ages,
)

sweep = Sweep(
    name="reduced_scale",
    question="What does pretraining still give at a million parameters?",
    axes=PAPER[0],
    trial=trial,
    scale="reduced",
    at={
        **dict.fromkeys(("laptop", "laptop_small", "laptop_family", "reduced"), LAPTOP),
        **dict.fromkeys(("smoke", "smoke_small", "smoke_family", "smoke_reduced"), SMOKE),
    },
)

if __name__ == "__main__":
    main(sweep)
