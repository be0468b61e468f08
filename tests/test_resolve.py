"""From what was asked to what is run, before and after each stage."""

import json
from dataclasses import replace

import pytest

from planned import CORPUS, all_known, base, keep_ages
from raydistill.codec import from_json
from raydistill.errors import DataError, UsageError
from raydistill.resolve import (
    UNTOKENISED,
    Known,
    LayerScores,
    Unscored,
    corpus_id,
    distinct,
    find_bases,
    layer_scores_path,
    look_up,
    pretraining,
    resolve,
    stand_in_plan,
)
from raydistill.scales import load_scale
from raydistill.shipped import ShippedBases
from raydistill.spec import DropPlan, PretrainedBase, RandomBase, TrialRequest
from raydistill.store import Store
from raydistill.sweep import Cell
from raydistill.units import B

SMOKE = replace(load_scale("smoke"), corpus="/nowhere/text.txt")
LATE = SMOKE.ages[-1]
NOTHING = Known(corpus=UNTOKENISED, bases={}, layer_scores={})
INPUT = TrialRequest(age=LATE, location="input", count=2)
SCORED = replace(INPUT, location="block-influence")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def cells(*requests):
    return tuple(Cell(sweep="some", values={"location": r.location}, request=r) for r in requests)


def test_before_any_stage_a_base_is_how_it_will_be_made():
    spec = resolve(INPUT, SMOKE, NOTHING)
    assert isinstance(spec.base, PretrainedBase)
    assert spec.base.age_tokens == SMOKE.age_tokens(LATE)
    assert spec.base.train.recipe == SMOKE.pretrain


def test_once_it_exists_a_base_is_its_weights():
    spec = resolve(INPUT, SMOKE, all_known(SMOKE))
    assert spec.base == base(SMOKE, LATE)
    assert spec.train.corpus_sha256 == CORPUS.corpus_sha256
    assert spec.plan.layers == (1, 2)


def test_trials_draw_other_data_than_their_base():
    spec = resolve(INPUT, SMOKE, NOTHING)
    assert spec.train.seed != spec.base.train.seed


def test_a_list_and_a_preset_of_the_same_layers_are_one_trial():
    listed = replace(INPUT, location="2,1")
    scored = all_known(SMOKE, block_influence=(0.0, 0.1, 0.1, 0.8, 0.9, 0.0))
    (trial,) = distinct(cells(INPUT, listed, SCORED), SMOKE, scored)
    assert len(trial.cells) == 3
    assert trial.has_final_id


def test_with_a_gap_the_order_makes_another_trial():
    slow = replace(INPUT, gap=1 * B)
    trials = distinct(cells(slow, replace(slow, order="descending")), SMOKE, all_known(SMOKE))
    assert len(trials) == 2


@pytest.mark.parametrize("change", [{"seed": 2}, {"budget": 40 * B}, {"age": SMOKE.ages[0]}])
def test_what_changes_the_training_is_another_trial(change):
    trials = distinct(cells(INPUT, replace(INPUT, **change)), SMOKE, all_known(SMOKE))
    assert len(trials) == 2


def test_data_driven_layers_are_known_after_scoring():
    unscored = resolve(SCORED, SMOKE, all_known(SMOKE))
    assert isinstance(unscored, Unscored)
    (trial,) = distinct(cells(SCORED, SCORED), SMOKE, all_known(SMOKE))
    assert not trial.has_final_id
    known = all_known(SMOKE, block_influence=(0.0, 0.5, 0.3, 0.8, 0.1, 0.0))
    assert resolve(SCORED, SMOKE, known).plan.layers == (2, 4)


def test_what_is_not_scored_yet_is_checked_all_the_same():
    with pytest.raises(UsageError, match="1 to 4"):
        resolve(replace(SCORED, count=5), SMOKE, NOTHING)
    with pytest.raises(UsageError, match="follow the last removal"):
        resolve(replace(SCORED, gap=10 * B), SMOKE, NOTHING)


def test_a_stand_in_has_the_times_of_what_it_stands_for():
    plan = stand_in_plan(replace(SCORED, gap=1 * B), SMOKE)
    expected = resolve(replace(INPUT, gap=1 * B), SMOKE, NOTHING).plan
    assert [d.at_tokens for d in plan.drops] == [d.at_tokens for d in expected.drops]


def test_pretraining_is_the_same_loop_from_random_weights():
    run = pretraining(SMOKE, CORPUS)
    assert isinstance(run.base, RandomBase)
    assert run.plan == DropPlan()
    assert run.trial_id != pretraining(SMOKE, UNTOKENISED).trial_id


def test_bases_are_found_in_the_store(store):
    assert find_bases(SMOKE, CORPUS, store, SMOKE.ages, []) == {}
    keep_ages(store, SMOKE, CORPUS)
    found = find_bases(SMOKE, CORPUS, store, (LATE,), [])
    assert found[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256
    assert found[LATE].revision == "320B"
    assert find_bases(SMOKE, UNTOKENISED, store, SMOKE.ages, []) == {}


def test_layer_scores_are_found_in_the_store(store):
    scale = load_scale("smoke")  # nobody has tokenised its corpus in this store
    keep_ages(store, scale, UNTOKENISED)
    kept = LayerScores(score="block-influence", values=(0.0, 0.5, 0.3, 0.8, 0.1, 0.0))
    late, corpus = base(scale, LATE).weights_sha256, UNTOKENISED.corpus_sha256
    store.save(kept, *layer_scores_path(late, "block-influence", corpus))
    known = look_up(scale, cells(INPUT, SCORED), store)
    assert known.layer_scores == {(LATE, "block-influence"): kept.values}


def test_a_scales_own_text_may_be_missing_while_it_is_planned(store):
    assert corpus_id(load_scale("smoke"), store) == UNTOKENISED
    assert corpus_id(load_scale("paper_300m"), store) == UNTOKENISED


def test_text_that_somebody_named_must_be_there(store):
    with pytest.raises(DataError, match=r"no corpus at /nowhere/text.txt"):
        corpus_id(SMOKE, store)


SHIPPED = from_json(
    ShippedBases,
    json.dumps(
        {
            "corpus_sha256": CORPUS.corpus_sha256,
            "tokenizer_sha256": CORPUS.tokenizer_sha256,
            "ages": {"320B": {"age_tokens": 64_000, "weights_sha256": "5" * 64}},
            "recipe": "more than a plan needs",
        }
    ),
)


def test_bases_that_were_trained_here_go_before_shipped_ones(store):
    assert find_bases(SMOKE, CORPUS, store, SMOKE.ages, [SHIPPED])[LATE].weights_sha256 == "5" * 64
    keep_ages(store, SMOKE, CORPUS)
    found = find_bases(SMOKE, CORPUS, store, SMOKE.ages, [SHIPPED])
    assert found[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256


def test_shipped_bases_are_refused_for_another_corpus_until_own_ones_are_trained(store):
    other = replace(CORPUS, corpus_sha256="0" * 64)
    with pytest.raises(DataError, match="train your own first"):
        find_bases(SMOKE, other, store, SMOKE.ages, [SHIPPED])
    keep_ages(store, SMOKE, other)
    found = find_bases(SMOKE, other, store, SMOKE.ages, [SHIPPED])
    assert found[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256
