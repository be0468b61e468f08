"""A made-up sweep of realistic size, as a report takes it."""

import dataclasses
import functools
import io
import math

import numpy as np
from rich.console import Console

from raydistill.core.units import B
from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.reports.formats.terminal import print_table
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import (
    Cost,
    HeldoutPoint,
    MadeBy,
    Scores,
    TaskScore,
    Trained,
    TrialFailure,
    TrialResult,
    UnitScores,
)
from raydistill.specs.trial import DropPlan, ExternalBase, LayerDrop, Recipe, TrainSpec, TrialSpec

CHAPTERS = tuple(f"GEN {number}" for number in range(1, 61))
TASKS = ("continuation", "last-word", "word-order")
LAYERS = {
    "max-gap": (1, 4, 7, 10),
    "input": (1, 2, 3, 4),
    "output": (7, 8, 9, 10),
    "both": (1, 2, 9, 10),
    "middle": (4, 5, 6, 7),
    "alt-input": (1, 3, 5, 7),
    "alt-output": (4, 6, 8, 10),
    "alt-both": (1, 3, 8, 10),
    "alt-middle": (2, 4, 6, 8),
    "block-influence": (3, 5, 6, 8),
    "random-0": (2, 3, 7, 9),
    "none": (),
}
DELTA_NLL = {
    "max-gap": 0.178,
    "input": 0.176,
    "output": 0.172,
    "both": 0.19,
    "middle": 0.16,
    "alt-input": 0.165,
    "alt-output": 0.17,
    "alt-both": 0.181,
    "alt-middle": 0.151,
    "block-influence": 0.149,
    "random-0": 0.21,
    "none": -0.02,
}
MODEL = ModelConfig(family="palm", num_layers=12, dim=64, num_heads=2, vocab_size=2048, context=128)
TRAIN = TrainSpec(
    recipe=Recipe(
        peak_lr=6e-4,
        budget_tokens=319_488,
        batch_tokens=2048,
        micro_batches=2,
        warmup_tokens=20_480,
    ),
    loss="lm",
    seed=1,
    corpus_sha256="c" * 64,
    tokenizer_sha256="d" * 64,
)


@functools.cache
def documents(nll, accuracy, seed):
    """Scores of 60 chapters around two means; what chapters share is the same for every seed."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    hard = 0.3 * shared.standard_normal(60)
    tokens = shared.integers(300, 900, 60)
    nats = (nll + hard + 0.01 * own.standard_normal(60)) * tokens
    tasks = {}
    for task in TASKS:
        easy = np.clip(accuracy - 0.3 * hard + 0.05 * own.standard_normal(60), 0.05, 0.95)
        tasks[task] = UnitScores(
            units=CHAPTERS, sums=tuple(np.round(8 * easy).tolist()), counts=(8,) * 60
        )
    nll_scores = UnitScores(
        units=CHAPTERS, sums=tuple(nats.tolist()), counts=tuple(tokens.tolist())
    )
    return DocumentScores(nll=nll_scores, tasks=tasks)


def scores_of(split):
    tasks = {
        name: TaskScore(value=task.value, stderr=0.02, chance=0.25)
        for name, task in split.tasks.items()
    }
    return Scores(weights_sha256="a" * 64, nll=split.nll.value, tasks=tasks)


def base(age, nll, accuracy):
    split = documents(nll, accuracy, 0)
    return ReportBase(
        scale="laptop",
        age=age,
        age_tokens=age // 22_857,
        num_params=630_000,
        scores=scores_of(split),
        documents=split,
    )


YOUNG, LATE = base(80 * B, 3.46, 0.66), base(320 * B, 3.14, 0.74)


def cell(location, start=LATE, train=TRAIN, **changes):
    layers = LAYERS[location]
    delta_nll = DELTA_NLL[location] * (1.0 if start is LATE else 0.6)
    accuracy = start.scores.downstream - 0.35 * delta_nll
    split = documents(start.scores.nll + delta_nll, accuracy, 1 + list(LAYERS).index(location))
    report_cell = ReportCell(
        scale="laptop",
        num_params=630_000,
        location=location,
        age=start.age,
        values={"age": start.age, "location": location},
        layers=layers,
        num_layers=12,
        layer_map="".join("□" if layer in layers else "■" for layer in range(12)),
        gap_tokens=0,
        train=train,
        outcome=Measured(result=result(location, start, split, train), documents=split),
    )
    return dataclasses.replace(report_cell, **changes)


def result(location, start, split, train):
    layers = LAYERS[location]
    spec = TrialSpec(
        base=ExternalBase(name="base", revision="main", weights_sha256="b" * 64),
        plan=DropPlan(drops=tuple(LayerDrop(at_tokens=0, layer=layer) for layer in layers)),
        train=train,
    )
    budget, end = train.recipe.budget_tokens, split.nll.value
    hurt = {"input": 3.5, "output": 1.9}.get(location, 2.5) if layers else 0.05
    fast = {"input": 9.0, "output": 6.0}.get(location, 7.0)
    curve = tuple(
        HeldoutPoint(
            tokens=int(budget * part), nll=end + hurt * (math.exp(-fast * part) - math.exp(-fast))
        )
        for part in (0, 0.05, 0.1, 0.25, 0.5, 1)
    )
    trained = Trained(
        trial_id=spec.trial_id,
        spec=spec,
        model=MODEL,
        kept=tuple(layer for layer in range(12) if layer not in layers),
        weights_sha256="e" * 64,
        curve=(),
        heldout_curve=curve,
        cost=Cost(
            tokens=budget, flops_paper=1, flops_exact=1, train_s=40, evaluate_s=5, peak_bytes=1
        ),
        made_by=MadeBy(device="cpu", world_size=1, torch="2.13.0", host="here"),
        trained_in="where_to_drop",
        started_s=0.0,
        ended_s=45.0,
    )
    return TrialResult(trained=trained, before=start.scores, after=scores_of(split))


def scored(location, nll, accuracy=0.6, *, seed=1, loss="lm"):
    """A cell of these means; what chapters do to them is alike for all."""
    train = dataclasses.replace(TRAIN, seed=seed, loss=loss)
    split = documents(nll, accuracy, 0)
    outcome = Measured(result=result(location, LATE, split, train), documents=split)
    values = {"age": LATE.age, "location": location, "loss": loss}
    return cell(location, train=train, outcome=outcome, values=values)


FAILURE = TrialFailure(
    trial_id="f" * 16,
    where="training",
    message="the loss is not a number at 40,960 tokens\nmore",
    traceback="",
    attempts=3,
)


def sweep(cells, bases=(YOUNG, LATE)):
    return SweepReport(
        sweep="where_to_drop",
        question="Where in the model should the layers come out of?",
        scale="laptop",
        small_scale=True,
        bases=tuple(bases),
        cells=tuple(cells),
    )


def whole_sweep():
    young = [cell(location, YOUNG) for location in ("none", "input", "middle")]
    late = [cell(location) for location in LAYERS if location != "both"]
    return sweep([*young, *late, cell("both", outcome=FAILURE)])


def row_of(table, age, name):
    block = next(block for block in table.blocks if block.age == age)
    return next(row for row in block.rows if row.name == name)


def printed(table, width=100, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    print_table(table, console)
    return console.file.getvalue()
