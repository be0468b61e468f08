"""Random sweeps, and what their printed sentences must agree with: a table's own numbers."""

import dataclasses
import math

import numpy as np
from hypothesis import strategies as st

from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest
from raydistill.specs.results import HeldoutPoint, UnitScores
from raydistill.specs.trial import CachedTeacher, ExternalBase
from support.reported import LATE, TASKS, TRAIN, YOUNG, cell, scores_of, sweep

LOCATIONS = ("max-gap", "input", "output", "both", "middle")
ARMS = ("teacher-free", "kd", "kd-cached", "kd-equal-flops")
TEACHER = ExternalBase(name="laptop", revision="320B", weights_sha256="c" * 64)
CHOICE = LayerChoice(
    request=LayerRequest(score="block-influence", count=4),
    samples=((1, 2, 3, 4),),
    values=(tuple(float(layer * layer % 7) for layer in range(12)),),
)
POINTS = (0.0, 0.05, 0.25, 0.5, 1.0)  # of the budget


def documents(rng, count, nll, score, spread):
    """`count` chapters of equal size around two means; what chapters share is always the same."""
    hard = 0.3 * np.random.default_rng(0).standard_normal(count)
    units = tuple(f"GEN {number}" for number in range(count))
    nats = 100 * (nll + hard + spread * rng.standard_normal(count))
    right = {t: np.clip(score + 2 * spread * rng.standard_normal(count), 0, 1) for t in TASKS}
    return DocumentScores(
        nll=UnitScores(units=units, sums=tuple(nats.tolist()), counts=(100,) * count),
        tasks={
            task: UnitScores(units=units, sums=tuple((8 * s).tolist()), counts=(8,) * count)
            for task, s in right.items()
        },
    )


@st.composite
def sweeps(draw):
    """Locations, gaps, arms or counts, on few or many documents, with one seed or several.

    One of the locations has scores behind it, and some arms have cached teachers.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(("locations", "gaps", "arms", "counts")))
    count, spread = draw(st.sampled_from((5, 12, 60))), draw(st.sampled_from((0.0, 0.01, 0.1)))
    apart, chance = draw(st.sampled_from((0.0, 0.003, 0.03, 0.2))), draw(st.booleans())
    level = 0.27 if chance else 0.7
    bases = [
        dataclasses.replace(base, documents=split, scores=scores_of(split))
        for base in ((YOUNG, LATE) if kind == "counts" else (LATE,))
        for split in [documents(rng, count, base.scores.nll, level, spread)]
    ]
    cells, choices = [], draw(st.sampled_from((((1,),), ((1, 2),), ((1,), (1, 2), (2,)))))
    for base in bases:
        for name, values, changes in _cells(kind):
            delta = apart * rng.standard_normal() + draw(st.sampled_from((0.0, 0.1)))
            for seed in draw(st.sampled_from(choices)):
                split = documents(rng, count, base.scores.nll + delta, level - delta / 2, spread)
                train = dataclasses.replace(TRAIN, seed=seed)
                cells.append(_measured(rng, cell(name, base, train), split, values, changes))
    return sweep(cells, bases)


def _cells(kind):
    """Of each row: the sample location, its axis values, and what else it changes."""
    if kind == "locations":
        scored = {"input": {"choice": CHOICE}}
        return [(n, {"location": n}, scored.get(n, {})) for n in (*LOCATIONS, "none")]
    if kind == "gaps":
        return [
            ("input", {"gap": gap}, {"gap_tokens": gap // 62_500})
            for gap in (0, 1_000_000_000, 4_000_000_000)
        ]
    if kind == "arms":
        return [("input", {"arm": arm}, {}) for arm in ARMS]
    return [
        ("input", {"count": count}, {"layers": tuple(range(1, 1 + count))}) for count in (2, 4, 8)
    ]


def _measured(rng, sample, split, values, changes):
    """A cell with the scores of `split`, and a curve that ends near them."""
    end, above = split.nll.value, abs(rng.standard_normal())
    curve = tuple(
        HeldoutPoint(
            tokens=int(part * sample.train.recipe.budget_tokens),
            nll=end + above * (1 - part) ** 4 + 0.002 * rng.standard_normal(),
        )
        for part in POINTS
    )
    result = sample.outcome.result
    trained = dataclasses.replace(result.trained, heldout_curve=curve)
    if values.get("arm") in ("kd", "kd-cached"):
        is_cached = values["arm"] == "kd-cached"
        teacher = CachedTeacher(base=TEACHER, excerpt="top-k=32") if is_cached else TEACHER
        train = dataclasses.replace(trained.spec.train, loss="kd")
        spec = dataclasses.replace(trained.spec, teacher=teacher, train=train)
        seconds = {"train_s": 100 * rng.random(), "teacher_s": 50 * rng.random() * is_cached}
        cost = dataclasses.replace(trained.cost, **seconds)
        trained = dataclasses.replace(trained, spec=spec, cost=cost)
    result = dataclasses.replace(result, trained=trained, after=scores_of(split))
    outcome = dataclasses.replace(sample.outcome, result=result, documents=split)
    values = {"age": sample.age, **values}
    return dataclasses.replace(sample, outcome=outcome, values=values, **changes)


def z_score(one, other, by_document):
    """How many standard errors two sets of documents of equal size differ by."""
    step = by_document(other) - by_document(one)
    error = step.std(ddof=1) / math.sqrt(len(step))
    return abs(step.mean()) / max(error, 1e-12)


def nats_of(split):
    """Nats per token, by document."""
    return np.array(split.nll.sums) / np.array(split.nll.counts)


def score_of(split):
    """The mean over tasks, by document."""
    return np.mean([np.array(s.sums) / np.array(s.counts) for s in split.tasks.values()], axis=0)
