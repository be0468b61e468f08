"""Made-up sweeps over other axes than locations: counts, gaps, arms, data seeds."""

import dataclasses

from raydistill.specs.results import UnitScores
from support.reported import LATE, TRAIN, YOUNG, cell, documents, sweep

GAPS = {0: "alt-middle", 100_000_000: "input", 1_000_000_000: "middle"}
COUNTS = {2: "alt-middle", 4: "input", 8: "random-0"}
ARMS = {"control": "none", "teacher-free": "middle", "kd": "input"}


def on_tokens(budget, seed=1, **changes):
    recipe = dataclasses.replace(TRAIN.recipe, budget_tokens=budget)
    return dataclasses.replace(TRAIN, recipe=recipe, seed=seed, **changes)


def with_axes(location, count=4, layers=None, train=TRAIN, **values):
    """A cell of a sweep with these axes beside age and location."""
    values = {"age": LATE.age, "location": location, "count": count, **values}
    layers = tuple(range(1, 1 + count)) if layers is None else layers
    return cell(location, values=values, layers=layers, train=train)


def arm(name, location="input", budget=319_488, seed=1, **changes):
    sample = cell(location, train=on_tokens(budget, seed, loss=changes.pop("loss", "lm")))
    values = {"age": LATE.age, "location": "input", "arm": name}
    return dataclasses.replace(sample, values=values, **changes)


def arms():
    return [
        arm("base", "none", budget=0, for_every_seed=True),
        *(arm("control", "none", seed=seed) for seed in (1, 2)),
        arm("one-shot", budget=0, for_every_seed=True),
        *(arm("teacher-free", seed=seed) for seed in (1, 2)),
        *(arm("kd-equal-flops", budget=204_800, seed=seed, loss="kd") for seed in (1, 2)),
        arm("scratch-with-age", seed=0, layers=(), budget=14_000_000, for_every_seed=True),
    ]


def on_seed(location, seed, noise=0.0, **changes):
    """The cell as another data seed would have made it, `noise` nats a token away."""
    sample = cell(location, train=dataclasses.replace(TRAIN, seed=seed), **changes)
    if noise:
        split = sample.outcome.documents
        nll = UnitScores(
            units=split.nll.units,
            sums=tuple(
                s + noise * n for s, n in zip(split.nll.sums, split.nll.counts, strict=True)
            ),
            counts=split.nll.counts,
        )
        moved = dataclasses.replace(split, nll=nll)
        outcome = dataclasses.replace(sample.outcome, documents=moved)
        sample = dataclasses.replace(sample, outcome=outcome)
    return sample


def renamed(sample, start, layers=(1, 2, 3, 4), location="input", **values):
    """A cell of the samples with other layers, location and axis values."""
    boxes = "".join("□" if layer in layers else "■" for layer in range(12))
    return dataclasses.replace(
        sample,
        location=location,
        layers=layers,
        layer_map=boxes,
        values={"age": start.age, **values},
    )


def both_ages(make):
    return [cell for start in (YOUNG, LATE) for cell in make(start)]


def counted():
    def cells(start):
        for count, sample in COUNTS.items():
            yield renamed(cell(sample, start), start, tuple(range(1, 1 + count)), count=count)
        yield renamed(cell("none", start), start, (), "none", count=0)

    return sweep(both_ages(cells))


def gapped():
    def cells(start):
        for gap, sample in GAPS.items():
            waiting = dataclasses.replace(cell(sample, start), gap_tokens=gap // 62_500)
            yield renamed(waiting, start, gap=gap)

    return sweep(both_ages(cells))


def armed():
    return sweep(
        [
            renamed(cell(sample), LATE, () if arm == "control" else (1, 2, 3, 4), arm=arm)
            for arm, sample in ARMS.items()
        ],
        [LATE],
    )


def crossed(nll, seeds=(1, 2), **values):
    """A sweep of counts by gaps; `nll` gives the loss of each pair above the base."""
    cells = []
    for (count, gap), more in nll.items():
        for seed in seeds:
            layers, train = tuple(range(1, 1 + count)), on_tokens(319_488, seed)
            sample = renamed(
                cell("input", train=train), LATE, layers, count=count, gap=gap, **values
            )
            split = documents(LATE.scores.nll + more, 0.6, seed)
            outcome = dataclasses.replace(sample.outcome, documents=split)
            cells.append(dataclasses.replace(sample, outcome=outcome))
    return sweep(cells)
