"""Sweeps as the driver hands them to tracking, with made-up but plausible numbers."""

import math
import random

from raydistill.core.units import B
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import (
    Cost,
    Finished,
    HeldoutPoint,
    MadeBy,
    NoControl,
    Progress,
    Scores,
    TaskScore,
    Trained,
    TrialFailure,
    TrialResult,
    Unfinished,
    UnitScores,
)
from raydistill.specs.trial import DropPlan, ExternalBase, LayerDrop, Recipe, TrainSpec, TrialSpec
from raydistill.tracking.records import TrackedBase, TrackedCell, TrackedSweep

MODEL = ModelConfig(family="palm", num_layers=12, dim=64, num_heads=2, vocab_size=2048, context=128)
LAYERS = {
    "none": (),
    "input": (1, 2, 3, 4),
    "output": (7, 8, 9, 10),
    "both": (1, 2, 9, 10),
    "middle": (4, 5, 6, 7),
    "max-gap": (1, 4, 7, 10),
    "alt-input": (1, 3, 5, 7),
    "alt-output": (4, 6, 8, 10),
    "alt-both": (1, 3, 8, 10),
    "alt-middle": (2, 4, 6, 8),
    "random-0": (2, 3, 7, 9),
}
STEP_TOKENS = 2_048
LATE = 320 * B
AGES = {80 * B: 3_500_032, LATE: 14_000_128}  # tokens at this scale


def boxes(layers):
    return "".join("□" if layer in layers else "■" for layer in range(MODEL.num_layers))


def spec_of(age, location):
    recipe = Recipe(
        peak_lr=6e-4,
        budget_tokens=20 * STEP_TOKENS,
        batch_tokens=STEP_TOKENS,
        micro_batches=2,
        warmup_tokens=2 * STEP_TOKENS,
    )
    train = TrainSpec(recipe=recipe, loss="lm", seed=0, corpus_sha256="c" * 64, tokenizer_sha256="")
    base = ExternalBase(name="shipped", revision=str(age), weights_sha256=f"{age:064d}")
    drops = tuple(LayerDrop(at_tokens=0, layer=layer) for layer in LAYERS[location])
    return TrialSpec(base=base, plan=DropPlan(drops=drops), train=train)


def curve_of(spec, steps):
    """A curve that falls; the same for the same spec, however often it is asked for."""
    noise = random.Random(spec.trial_id)
    recipe = spec.train.recipe
    for step in range(steps):
        yield Progress(
            tokens=(step + 1) * recipe.batch_tokens,
            loss=3.2 + 1.5 * math.exp(-step / 6) + noise.uniform(-0.05, 0.05),
            lr=recipe.peak_lr * min(1.0, (step + 1) / 2),
            num_layers=MODEL.num_layers - len(spec.plan.drops),
        )


def scores_of(name, nll, accuracy):
    tasks = {
        "continuation": TaskScore(value=accuracy, stderr=0.02, chance=0.25),
        "last-word": TaskScore(value=accuracy - 0.1, stderr=0.02, chance=0.25),
        "word-order": TaskScore(value=accuracy - 0.05, stderr=0.02, chance=0.5),
    }
    return Scores(weights_sha256=name, nll=nll, tasks=tasks)


def documents_of(scores):
    return {
        "perplexity": UnitScores(units=("GEN 5", "PSA 9"), sums=(scores.nll, 9.0), counts=(1, 3))
    }


def before_of(age):
    return scores_of(f"{age:064d}", 3.46 if age == 80 * B else 3.14, 0.74)


def measured(age, location, steps=20):
    spec = spec_of(age, location)
    worse = 0.02 * len(spec.plan.drops) + 0.01 * (len(location) % 5)
    after = scores_of(f"weights-of-{spec.trial_id}", before_of(age).nll + worse, 0.74 - worse)
    trained = Trained(
        trial_id=spec.trial_id,
        spec=spec,
        model=MODEL,
        kept=tuple(n for n in range(MODEL.num_layers) if n not in spec.plan.layers),
        weights_sha256=after.weights_sha256,
        trained_in="how_many",
        curve=tuple(curve_of(spec, steps)),
        heldout_curve=tuple(
            HeldoutPoint(tokens=n * steps // 4 * STEP_TOKENS, nll=after.nll + 0.4 - n / 10)
            for n in range(5)
        ),
        cost=Cost(
            tokens=steps * STEP_TOKENS,
            flops_paper=10**14,
            flops_exact=12 * 10**13,
            train_s=41.5,
            evaluate_s=6.5,
            peak_bytes=300_000_000,
        ),
        made_by=MadeBy(device="cpu", world_size=1, torch="2.13.0", host="here"),
        started_s=1_780_000_000.0,
        ended_s=1_780_000_048.0,
    )
    result = TrialResult(trained=trained, before=before_of(age), after=after)
    before = documents_of(result.before)
    return Finished(result=result, before=before, after=documents_of(after))


def failed(age, location, message="out of memory: HF_TOKEN=hf_secret"):
    return TrialFailure(
        trial_id=spec_of(age, location).trial_id,
        where="training",
        message=message,
        traceback="Traceback ...",
        attempts=3,
    )


def partial(age, location, steps):
    return Unfinished(curve=tuple(curve_of(spec_of(age, location), steps)))


def cell(age, location, outcome, control=NoControl()):  # noqa: B008  (a frozen value)
    return TrackedCell(
        values={"age": age, "location": location, "count": 4, "gap": 0},
        as_run={"age_tokens": AGES[age], "gap_tokens": 0},
        role="control" if location == "none" else "cell",
        spec=spec_of(age, location),
        layer_map=boxes(LAYERS[location]),
        outcome=outcome,
        control=control,
    )


def base(age):
    scores = before_of(age)
    return TrackedBase(
        values={"age": age},
        as_run={"age_tokens": AGES[age]},
        layer_map=boxes(()),
        scores=scores,
        documents=documents_of(scores),
    )


def sweep_of(*cells, running=False, bases=(320 * B,), **changes):
    given = {
        "name": "where_to_drop",
        "question": "Where in the model should the layers come out of?",
        "scale": "laptop",
        "axes": ("age", "location"),
        "command": "python sweeps/where_to_drop.py --scale laptop",
        "owner": "ann",
        "tasks_averaged": ("continuation", "last-word", "word-order"),
        "environment": {"git_commit": "8240918", "git_dirty": "false", "version_torch": "2.13.0"},
        "files": {"table.md": "| location | drop |\n|---|---|\n| input | 7.9 % |\n"},
    }
    return TrackedSweep(
        running=running,
        bases=tuple(base(age) for age in bases),
        cells=cells,
        **(given | changes),
    )


def fourteen_cells():
    """The laptop sweep: everything at the late age, three at the early one."""
    points = [(320 * B, location) for location in LAYERS]
    points += [(80 * B, location) for location in ("none", "input", "middle")]
    controls = {age: measured(age, "none").result.after for age in AGES}
    outcomes = {point: measured(*point) for point in points}
    outcomes[320 * B, "random-0"] = failed(320 * B, "random-0")
    return sweep_of(
        *(cell(*p, outcome, controls[p[0]]) for p, outcome in outcomes.items()), bases=tuple(AGES)
    )
