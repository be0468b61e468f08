"""A report of a sweep over sizes and ages, as stored cells and bases give it."""

import dataclasses

from raydistill.core.units import B
from raydistill.reports.results.cells import ReportBase
from raydistill.specs.corpus import TextFacts
from raydistill.specs.flops import parameters
from raydistill.specs.scale import load_scale
from support.reported import TRAIN, cell, scores_of, sweep
from support.taught import shifted

FACTS = TextFacts(
    corpus_sha256="c" * 64, name="smoke", words=900, train_words=880, heldout_words=300,
    train_tokens=90_000, heldout_tokens=8_000, heldout_bytes=32_000, unigram_nats=5.2,
    unigram_tokens=90_000,
)  # fmt: skip
AGES = (80 * B, 160 * B, 320 * B)
SCALES = (
    "smoke_reduced", "smoke_reduced+width=8", "smoke_reduced+width=32", "smoke_reduced+layers=2",
    "smoke_reduced+heads=1", "smoke_reduced+mask=0.15",
)  # fmt: skip


def shape_base(name, age, nll, **fields):
    """A base of that name and age with that loss."""
    scale, split = load_scale(name), shifted(nll, 0, 0.0)
    return ReportBase(
        scale=name, age=age, age_tokens=age // 22_857, num_params=parameters(scale.model),
        scores=scores_of(split), documents=split, mask_share=scale.evaluation.mask_share,
        **{"text": FACTS, **fields},
    )  # fmt: skip


def shape_cell(base, **changes):
    """The cell of a base as it is."""
    scale = load_scale(base.scale)
    recipe = dataclasses.replace(TRAIN.recipe, budget_tokens=0)
    sample = cell("none", train=dataclasses.replace(TRAIN, recipe=recipe))
    result = sample.outcome.result
    trained = dataclasses.replace(
        result.trained, model=scale.model, kept=tuple(range(scale.model.num_layers))
    )
    outcome = dataclasses.replace(
        sample.outcome,
        documents=base.documents,
        result=dataclasses.replace(result, trained=trained, after=base.scores),
    )
    fields = {
        "scale": base.scale, "age": base.age, "num_params": base.num_params, "outcome": outcome,
        "num_layers": scale.model.num_layers, "values": {"size": base.scale, "age": base.age},
    }  # fmt: skip
    return dataclasses.replace(sample, **{**fields, **changes})


def shape_bases(loss=lambda name, age: 5.0 - 0.2 * AGES.index(age), names=SCALES, **fields):
    return [shape_base(name, age, loss(name, age), **fields) for name in names for age in AGES]


def shape_report(bases, cells=None):
    report = sweep([shape_cell(base) for base in bases] if cells is None else cells, bases)
    question = "What does pretraining still give at a small scale?"
    return dataclasses.replace(
        report, sweep="reduced_scale", scale="smoke_reduced", question=question
    )
