"""What a trial is, and which trials are the same."""

from dataclasses import replace

import pytest

from raydistill.core.serialization import from_json, to_json
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import UnitScores
from raydistill.specs.trial import (
    CutBase,
    DropPlan,
    ExternalBase,
    LayerDrop,
    PretrainedBase,
    Recipe,
    TrainSpec,
    TrialSpec,
)

MODEL = ModelConfig(family="palm", num_layers=6, dim=16, num_heads=2, vocab_size=32, context=8)
RECIPE = Recipe(peak_lr=0.1, budget_tokens=64, batch_tokens=16, micro_batches=1, warmup_tokens=16)
TRAIN = TrainSpec(recipe=RECIPE, loss="lm", seed=1, corpus_sha256="c", tokenizer_sha256="t")
SPEC = TrialSpec(
    base=ExternalBase(name="laptop", revision="80B", weights_sha256="w"),
    plan=DropPlan(drops=(LayerDrop(at_tokens=16, layer=1), LayerDrop(at_tokens=32, layer=4))),
    train=TRAIN,
)

CUT = CutBase(base=SPEC.base, model=replace(MODEL, dim=8))


def test_a_base_is_its_weights_and_not_its_name():
    renamed = replace(SPEC.base, name="mine", revision="main")
    assert replace(SPEC, base=renamed).trial_id == SPEC.trial_id
    assert replace(SPEC, base=replace(renamed, weights_sha256="x")).trial_id != SPEC.trial_id


@pytest.mark.parametrize(
    "change",
    [
        {"plan": DropPlan()},
        {"plan": DropPlan(drops=(LayerDrop(at_tokens=16, layer=1),))},
        {"train": replace(TRAIN, seed=2)},
        {"train": replace(TRAIN, corpus_sha256="d")},
        {"train": replace(TRAIN, recipe=replace(RECIPE, micro_batches=2))},
        {"train": replace(TRAIN, recipe=replace(RECIPE, param_dtype="bfloat16"))},
        {"base": PretrainedBase(model=MODEL, train=TRAIN, age_tokens=16)},
    ],
)
def test_what_changes_the_weights_changes_the_id(change):
    assert replace(SPEC, **change).trial_id != SPEC.trial_id


def test_ids_are_those_of_before_the_later_fields_and_none_is_of_where_memory_lies():
    """The ids as the version before wrote them."""
    assert SPEC.trial_id == "4cfd6577eac8ffb3"
    pretrained = PretrainedBase(model=MODEL, train=TRAIN, age_tokens=16)
    assert replace(SPEC, base=pretrained).trial_id == "9116ba9aa4c8cbe9"
    for change in ({"activation_checkpointing": "blocks"}, {"optimizer_offload": "cpu"}):
        train = replace(TRAIN, recipe=replace(RECIPE, **change))
        assert replace(SPEC, train=train).trial_id == SPEC.trial_id


@pytest.mark.parametrize(
    "base", [SPEC.base, PretrainedBase(model=MODEL, train=TRAIN, age_tokens=16), CUT]
)
def test_a_spec_survives_json(base):
    spec = replace(SPEC, base=base)
    assert from_json(TrialSpec, to_json(spec)) == spec


def test_a_cut_is_its_teachers_weights_and_its_own_shape():
    spec = replace(SPEC, base=CUT, plan=DropPlan())
    renamed = replace(CUT, base=replace(CUT.base, name="mine"))
    assert replace(spec, base=renamed).trial_id == spec.trial_id
    others = (
        CUT.base,
        replace(CUT, base=replace(CUT.base, weights_sha256="x")),
        replace(CUT, model=replace(CUT.model, dim=4)),
    )
    assert spec.trial_id not in {replace(spec, base=base).trial_id for base in others}


def test_layers_are_due_once_their_tokens_are_trained():
    assert [SPEC.plan.due(tokens) for tokens in (0, 16, 31, 32)] == [(), (1,), (1,), (1, 4)]
    assert SPEC.plan.layers == (1, 4)


def test_a_recipe_spans_warm_phase_and_budget():
    recipe = replace(RECIPE, warm_phase_tokens=32)
    assert (recipe.total_tokens, recipe.total_steps) == (96, 6)


def test_a_score_is_the_mean_over_everything_counted():
    assert UnitScores(units=("a", "b"), sums=(1.0, 5.0), counts=(1, 3)).value == 1.5
