"""From what was asked to what is run, before and after each stage."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.core.serialization import from_json
from raydistill.core.units import B
from raydistill.data.known_corpora import UNTOKENISED, corpus_id
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.surgery.layer_fields import CannotLeaveError
from raydistill.planning.artifacts import (
    Artifacts,
    ages_by_scale,
    find_artifacts,
    find_bases,
    layer_request,
    layer_requests,
    pretraining,
)
from raydistill.planning.resolve import Unscored, distinct, failed_choice, resolve, stand_in_plan
from raydistill.planning.search.halving import rivals_of
from raydistill.pruning.layer_choice import FailedChoice, LayerRequest, layer_choice_path
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import DropPlan, NoTeacher, PretrainedBase, RandomBase, TrialRequest
from raydistill.storage.bundled import ShippedBases
from raydistill.storage.store import Store
from support.planned import CORPUS, all_known, base, cell_of, choice_of, keep_ages

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder

SMOKE = replace(load_scale("smoke"), corpus="/nowhere/text.txt")
LATE = SMOKE.ages[-1]
NOTHING = Artifacts(corpora={}, bases={}, layer_choices={})
INPUT = TrialRequest(age=LATE, location="input", count=2)
SCORED = replace(INPUT, location="block-influence")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def cells(*requests):
    return tuple(cell_of(SMOKE, request) for request in requests)


def test_before_any_stage_a_base_is_how_it_will_be_made():
    spec = resolve(cell_of(SMOKE, INPUT), NOTHING)
    assert isinstance(spec.base, PretrainedBase)
    assert spec.base.age_tokens == SMOKE.age_tokens(LATE)
    assert spec.base.train.recipe == SMOKE.pretrain


def test_once_it_exists_a_base_is_its_weights():
    spec = resolve(cell_of(SMOKE, INPUT), all_known(SMOKE))
    assert spec.base == base(SMOKE, LATE)
    assert spec.train.corpus_sha256 == CORPUS.corpus_sha256
    assert spec.plan.layers == (1, 2)


def test_trials_draw_other_data_than_their_base():
    spec = resolve(cell_of(SMOKE, INPUT), NOTHING)
    assert spec.train.seed != spec.base.train.seed


def test_a_list_and_a_preset_of_the_same_layers_are_one_trial():
    listed = replace(INPUT, location="2,1")
    scored = all_known(SMOKE, choice_of("block-influence", 1, 2))
    (trial,) = distinct(cells(INPUT, listed, SCORED), scored)
    assert len(trial.cells) == 3
    assert trial.has_final_id


def test_with_a_gap_the_order_makes_another_trial():
    slow = replace(INPUT, gap=1 * B)
    trials = distinct(cells(slow, replace(slow, order="descending")), all_known(SMOKE))
    assert len(trials) == 2


@pytest.mark.parametrize("change", [{"seed": 2}, {"budget": 40 * B}, {"age": SMOKE.ages[0]}])
def test_what_changes_the_training_is_another_trial(change):
    trials = distinct(cells(INPUT, replace(INPUT, **change)), all_known(SMOKE))
    assert len(trials) == 2


def test_data_driven_layers_are_known_after_scoring():
    unscored = resolve(cell_of(SMOKE, SCORED), all_known(SMOKE))
    assert isinstance(unscored, Unscored)
    (trial,) = distinct(cells(SCORED, SCORED), all_known(SMOKE))
    assert not trial.has_final_id
    known = all_known(SMOKE, choice_of("block-influence", 4, 2))
    assert resolve(cell_of(SMOKE, SCORED), known).plan.layers == (2, 4)


@pytest.mark.parametrize("change", [{"count": 1}, {"allow_ends": True}, {"location": "greedy"}])
def test_layers_are_chosen_anew_for_what_changes_the_choice(change):
    known = all_known(SMOKE, choice_of("block-influence", 4, 2))
    assert isinstance(resolve(cell_of(SMOKE, replace(SCORED, **change)), known), Unscored)


def test_what_does_not_change_the_choice_is_asked_of_a_base_once():
    requested = cells(SCORED, replace(SCORED, gap=1 * B), replace(SCORED, seed=2), INPUT)
    request = LayerRequest(score="block-influence", count=2)
    assert layer_requests(requested) == (((SMOKE.name, LATE), request),)


def test_what_is_not_scored_yet_is_checked_all_the_same():
    with pytest.raises(UsageError, match="1 to 4"):
        resolve(cell_of(SMOKE, replace(SCORED, count=5)), NOTHING)
    with pytest.raises(UsageError, match="follow the last removal"):
        resolve(cell_of(SMOKE, replace(SCORED, gap=10 * B)), NOTHING)


def test_where_a_score_chose_no_layers_a_trial_of_its_own_stands_for_each_removal():
    requests = [
        SCORED,
        replace(SCORED, count=1),
        replace(SCORED, gap=1 * B),
        replace(SCORED, seed=2),
    ]
    control = replace(INPUT, location="none", count=0)
    failed = {
        ((SMOKE.name, LATE), request): FailedChoice(request=request, message="?", traceback="")
        for request in map(layer_request, requests)
    }
    artifacts = replace(all_known(SMOKE), failed_choices=failed)
    trials = distinct(cells(control, INPUT, *requests), artifacts)
    assert len({trial.trial_id for trial in trials}) == 6
    assert [trial.is_unchosen for trial in trials] == [False] * 2 + [True] * 4
    assert all(trial.has_final_id for trial in trials)
    assert failed_choice(trials[2].cells[0], artifacts).request == layer_request(SCORED)
    groups, alone = rivals_of(trials)
    assert groups == []
    assert len(alone) == 6


def test_a_stand_in_has_the_times_of_what_it_stands_for():
    plan = stand_in_plan(replace(SCORED, gap=1 * B), SMOKE)
    expected = resolve(cell_of(SMOKE, replace(INPUT, gap=1 * B)), NOTHING).plan
    assert [d.at_tokens for d in plan.drops] == [d.at_tokens for d in expected.drops]


def test_pretraining_is_the_same_loop_from_random_weights():
    run = pretraining(SMOKE, CORPUS)
    assert isinstance(run.base, RandomBase)
    assert run.plan == DropPlan()
    assert run.trial_id != pretraining(SMOKE, UNTOKENISED).trial_id


def test_bases_are_found_in_the_store(store):
    assert find_bases(SMOKE, CORPUS, store, SMOKE.ages, []) == {}
    keep_ages(store, SMOKE, CORPUS)
    bases = find_bases(SMOKE, CORPUS, store, (LATE,), [])
    assert bases[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256
    assert bases[LATE].revision == "320B"
    assert find_bases(SMOKE, UNTOKENISED, store, SMOKE.ages, []) == {}


def test_layers_by_score_are_found_in_the_store(store):
    scale = load_scale("smoke")  # nobody has tokenised its corpus in this store
    keep_ages(store, scale, UNTOKENISED)
    choice = choice_of("block-influence", 4, 2, values=(0.0, 0.5, 0.3, 0.8, 0.1, 0.0))
    late, corpus = base(scale, LATE).weights_sha256, UNTOKENISED.corpus_sha256
    store.save(choice, *layer_choice_path(late, corpus, choice.request))
    requested = [cell_of(scale, request) for request in (INPUT, SCORED)]
    made = find_artifacts(scale, requested, store)
    assert made.layer_choices == {((scale.name, LATE), choice.request): choice}


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
    bases = find_bases(SMOKE, CORPUS, store, SMOKE.ages, [SHIPPED])
    assert bases[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256


def test_shipped_bases_are_refused_for_another_corpus_until_own_ones_are_trained(store):
    other = replace(CORPUS, corpus_sha256="0" * 64)
    with pytest.raises(DataError, match="train your own first"):
        find_bases(SMOKE, other, store, SMOKE.ages, [SHIPPED])
    keep_ages(store, SMOKE, other)
    bases = find_bases(SMOKE, other, store, SMOKE.ages, [SHIPPED])
    assert bases[LATE].weights_sha256 == base(SMOKE, LATE).weights_sha256


def test_a_teacher_is_the_trials_own_base_unless_another_is_named():
    distilled = replace(INPUT, loss="kd")
    known = all_known(SMOKE)
    assert resolve(cell_of(SMOKE, INPUT), known).teacher == NoTeacher()
    assert resolve(cell_of(SMOKE, distilled), known).teacher == base(SMOKE, LATE)
    young = replace(distilled, teacher="80B")
    assert resolve(cell_of(SMOKE, young), known).teacher == base(SMOKE, SMOKE.ages[0])
    assert resolve(cell_of(SMOKE, young), known).base == base(SMOKE, LATE)


def test_a_teacher_of_another_size_is_a_base_that_the_plan_needs():
    small = load_scale("smoke-small")
    taught = cell_of(SMOKE, replace(INPUT, loss="kd", teacher="smoke-small@320B"))
    spec = resolve(taught, all_known(SMOKE))
    assert isinstance(spec.teacher, PretrainedBase)
    assert spec.teacher.model == small.model
    assert not distinct([taught], all_known(SMOKE))[0].has_final_id
    assert {scale.name for scale, _ in ages_by_scale([taught])} == {"smoke", "smoke_small"}


def test_from_scratch_the_students_size_begins_with_fresh_weights():
    for start, tokens in (("scratch", 8_192), ("scratch-with-age", 8_192 + 64_000)):
        spec = resolve(cell_of(SMOKE, replace(INPUT, start=start)), all_known(SMOKE))
        assert spec.base == RandomBase(model=replace(SMOKE.model, num_layers=4), seed=1)
        assert spec.plan == DropPlan()
        assert spec.train.recipe.total_tokens == tokens
        assert spec.train.recipe.peak_lr == SMOKE.pretrain.peak_lr


def test_a_budget_of_0_is_the_model_after_the_cut():
    spec = resolve(cell_of(SMOKE, replace(INPUT, budget=0)), all_known(SMOKE))
    assert spec.plan.layers == (1, 2)
    assert spec.train.recipe.total_steps == 0


def test_two_ages_of_the_same_weights_are_refused(store):
    """Bad-input row 47: the age axis would be a lie."""
    path = keep_ages(store, SMOKE, CORPUS)
    one = "a" * 64
    path.write_text(json.dumps({str(SMOKE.age_tokens(age)): one for age in SMOKE.ages}))
    with pytest.raises(DataError, match="ages 80B and 320B are the same weights"):
        find_bases(SMOKE, CORPUS, store, SMOKE.ages, [])
    assert find_bases(SMOKE, CORPUS, store, (LATE,), [])[LATE].weights_sha256 == one


@pytest.fixture(scope="module")
def gemma4(tmp_path_factory):
    """A scale of a model whose last layers have the keys and values of earlier ones."""
    folder = tmp_path_factory.mktemp("gemma4")
    tiny_decoder("gemma4_text").save_pretrained(folder)
    model = read_checkpoint(str(folder), "main").model
    return replace(SMOKE, name="gemma4", model=model)


def test_layers_that_no_config_can_lack_are_refused_in_the_plan(gemma4):
    requests = (replace(INPUT, location=location) for location in ("output", "input", "middle"))
    with pytest.raises(CannotLeaveError) as refusal:
        distinct([cell_of(gemma4, request) for request in requests], all_known(gemma4))
    assert str(refusal.value).startswith("input: a 'gemma4_text' cannot lose layers 1,2: num_kv_")
    assert str(refusal.value).endswith(" can leave. Neither can those of middle")


def test_a_score_that_takes_such_layers_has_chosen_none(gemma4):
    """Its cell is a “–” with the reason; the others run."""
    cell = cell_of(gemma4, replace(INPUT, location="greedy"))
    assert resolve(cell, all_known(gemma4, choice_of("greedy", 3, 1))).plan.layers == (1, 3)
    artifacts = all_known(gemma4, choice_of("greedy", 2, 1))
    (planned,) = distinct([cell], artifacts)
    assert planned.is_unchosen
    reason = failed_choice(cell, artifacts).message
    assert reason.startswith("greedy: a 'gemma4_text' cannot lose layers 1,2: num_kv_shared_layers")


def test_from_scratch_blocks_that_differ_are_those_that_stay(gemma4):
    request = replace(INPUT, location="1,3", start="scratch")
    model = resolve(cell_of(gemma4, request), all_known(gemma4)).base.model
    assert model.blocks == tuple(gemma4.model.blocks[layer] for layer in (0, 2, 4, 5))
