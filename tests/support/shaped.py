"""Made-up runs over shapes, whose losses follow a planted law of their FLOPs."""

import math
import zlib

import numpy as np

from raydistill.reports.reduced_scale.findings import findings_of
from raydistill.reports.reduced_scale.runs import (
    CAUSAL,
    EXACT,
    HONEY,
    PAPER,
    Run,
    RunPoint,
    Shape,
    Text,
)
from raydistill.specs.evaluation import PRETRAINED, STARTS, probe_score
from raydistill.specs.results import UnitScores

DOCUMENTS = tuple(f"GEN {number}" for number in range(1, 41))
COUNTS = tuple(int(n) for n in np.random.default_rng(0).integers(300, 900, len(DOCUMENTS)))
HARD = 0.3 * np.random.default_rng(1).standard_normal(len(DOCUMENTS))
BBE = Text(name="bbe", words=6_198, unigram_nats=6.022, bits_per_nat=1 / (4.0 * math.log(2)))
FEWER = Text(name="bbe-1000", words=1_000, unigram_nats=5.2, bits_per_nat=1 / (3.2 * math.log(2)))
OWN = {"width": 32, "layers": 4, "heads": 4, "feed_forward": 128, "embedding": 32}
TOKENS = (131_072, 262_144, 524_288, 1_048_576)


def scores(mean, noise=0.0, seed=0):
    """A score by document with that mean; what documents share is alike for every run."""
    own = noise * np.random.default_rng(seed).standard_normal(len(DOCUMENTS))
    hard = HARD - np.average(HARD, weights=COUNTS)
    sums = tuple(float((mean + h + o) * n) for h, o, n in zip(hard, own, COUNTS, strict=True))
    return UnitScores(units=DOCUMENTS, sums=sums, counts=COUNTS)


def shape(**changes):
    return Shape(**{**OWN, **changes})


def blocks(of):
    """Parameters of the blocks of a shape."""
    return of.layers * (4 * of.width**2 + 2 * of.width * of.feed_forward)


def flops_of(of, tokens):
    head = 512 * of.width
    exact = 6 * tokens * (blocks(of) + head + of.embedding * of.width)
    return {PAPER: exact * 1.05, HONEY: exact * 1.5, EXACT: float(exact)}


def power(flops, run_shape, tokens):
    """A power law in exact FLOPs."""
    del run_shape, tokens
    return 30.0 * flops ** (-0.07)


def broken(flops, run_shape, tokens):
    """A jump at 1e11 FLOPs by Honey's rule."""
    below = 1.5 * flops < 1e11
    return power(flops, run_shape, tokens) * (1.15 if below else 1.0)


def run(
    loss=power, *, name=None, text=BBE, objective=CAUSAL, tokens=TOKENS, noise=0.002, **changes
):
    """A run whose loss is `loss(exact FLOPs, shape, tokens)`."""
    of = shape(**changes)
    settings = [f"{key}={value}" for key, value in sorted(changes.items())]
    name = name or "+".join(["reduced", *settings])
    points = []
    for seen in tokens:
        flops = flops_of(of, seen)
        seed = zlib.crc32(f"{name}@{seen}".encode())
        points.append(
            RunPoint(
                name=f"{name}@{seen}",
                tokens=seen,
                nats=scores(loss(flops[EXACT], of, seen), noise, seed),
                flops=flops,
            )
        )
    return Run(
        name=name,
        shape=of,
        parameters=blocks(of) + 1_200 * of.embedding + 512 * of.width,
        non_embedding=blocks(of),
        objective=objective,
        text=text,
        points=tuple(points),
    )


GRID = (
    {}, {"width": 8}, {"width": 16}, {"width": 64}, {"layers": 1}, {"layers": 2}, {"layers": 8},
    {"heads": 1}, {"heads": 2}, {"feed_forward": 32}, {"feed_forward": 512}, {"embedding": 8},
)  # fmt: skip


def grid(loss=power, **settings):
    """One axis at a time."""
    return [run(loss, **changes, **settings) for changes in GRID]


def probed(of, gain, *, seeds=(1, 2, 3), probe="paraphrase", noise=0.002):
    """The run with a probe at its oldest age, `gain` above fresh weights of 0.5."""
    fine_tuned = {
        probe_score(probe, start, seed): scores(
            0.5 + (gain if start == PRETRAINED else 0) + 0.005 * math.sin(9 * seed), noise, seed
        )
        for start in STARTS for seed in seeds
    }  # fmt: skip
    last = of.oldest
    point = RunPoint(
        name=last.name, tokens=last.tokens, nats=last.nats, flops=last.flops,
        tasks=last.tasks, probes={**last.probes, **fine_tuned},
    )  # fmt: skip
    return Run(
        **{name: getattr(of, name) for name in Run.__slots__ if name != "points"},
        points=(*of.points[:-1], point),
    )


def found(runs, failed=None):
    return findings_of(runs, failed or {})


def section(sections, title):
    """The one of that title."""
    (of,) = (one for one in sections if one.title.startswith(title))
    return of
