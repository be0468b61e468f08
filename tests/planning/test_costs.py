"""Seconds from trials that were timed before, what a search may cost, and when a yes is needed."""

import math
from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.lr_probe import with_probes
from raydistill.planning.preview.costs import (
    Work,
    answers_bytes,
    base_work,
    check_cost,
    keep_estimates,
    most_work,
    rates_of,
    trial_work,
)
from raydistill.planning.resolve import PlannedTrial, distinct
from raydistill.specs.flops import exact_flops, forward_flops_per_token, parameters
from raydistill.specs.results import CostEstimate
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import DropPlan, TrialRequest
from raydistill.storage.store import Store
from raydistill.training.throughput import ESTIMATE_FILE, Pace, Rate, Unmeasured
from support import finished
from support.planned import all_known, cell_of, keep_finished

SMOKE, LAPTOP, PAPER = (load_scale(name) for name in ("smoke", "laptop", "paper_300m"))


def planned(scale, location, count) -> PlannedTrial:
    request = TrialRequest(age=scale.ages[-1], location=location, count=count)
    return distinct([cell_of(scale, request)], all_known(scale))[0]


def rate(flops_per_s) -> Rate:
    pace = Pace(
        loss="lm", blocks=8, flops_per_s=flops_per_s, tokens_per_s=1.0, evaluate_s=0.0, peak_bytes=1
    )
    return Rate(device="cpu", source="a probe", paces=(pace,))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_without_finished_trials_nobody_knows(store):
    trial = planned(SMOKE, "input", 2)
    rates = rates_of([trial], store, probed=False)
    assert rates == {"smoke": Unmeasured()}
    assert math.isinf(trial_work(trial, store).seconds(rates))


def test_a_trial_like_one_before_takes_as_long(store):
    trial = planned(SMOKE, "input", 2)
    keep_finished(store, SMOKE, trial.cells[0].request, train_s=40.0)
    rates = rates_of([trial, planned(LAPTOP, "input", 4)], store, probed=False)
    again = trial_work(planned(SMOKE, "output", 2), store)
    assert again.seconds(rates) == pytest.approx(41.0)
    assert replace(again, devices=2).seconds(rates) == pytest.approx(21.0)
    assert replace(again, devices=2).device_s(rates) == pytest.approx(42.0)
    assert rates["laptop"] == Unmeasured()


def test_what_is_done_takes_no_time(store):
    trial = planned(SMOKE, "input", 2)
    keep_finished(store, SMOKE, trial.cells[0].request, train_s=40.0)
    work = trial_work(trial, store)
    assert work.done
    assert work.seconds({"smoke": Unmeasured()}) == 0
    assert base_work(SMOKE, all_known(SMOKE), SMOKE.ages).done


def test_layers_not_scored_yet_cost_like_any_others(store):
    unscored = trial_work(planned(SMOKE, "block-influence", 2), store)
    assert unscored == trial_work(planned(SMOKE, "input", 2), store)


def test_what_nobody_knows_needs_a_yes_but_at_the_small_scales(store):
    for scale in (SMOKE, LAPTOP):
        unknown = {scale.name: Unmeasured()}
        check_cost([trial_work(planned(scale, "input", 2), store)], unknown, scale)
    unknown = {PAPER.name: Unmeasured()}
    with pytest.raises(UsageError, match="nobody knows yet"):
        check_cost([trial_work(planned(PAPER, "input", 8), store)], unknown, PAPER)


@pytest.mark.parametrize("scale", [LAPTOP, PAPER])
def test_more_than_eight_device_hours_need_a_yes(scale, store):
    work = trial_work(planned(scale, "input", 2), store)
    per_hour = work.flops_exact / 3600
    check_cost([work], {scale.name: rate(per_hour / 7)}, scale)
    with pytest.raises(UsageError, match="9 device-hours, more than 8"):
        check_cost([work], {scale.name: rate(per_hour / 9)}, scale)


def test_a_trial_keeps_its_weights_and_while_it_trains_three_checkpoints(store):
    work = trial_work(planned(SMOKE, "input", 2), store)
    whole, left = parameters(SMOKE.model), parameters(SMOKE.model, removed=2)
    assert work.kept_bytes == 4 * left
    assert work.working_bytes == 3 * (4 * whole + 4 * left)


def test_cached_answers_cost_no_forward_pass_of_the_teacher(store):
    request = TrialRequest(age=SMOKE.ages[-1], location="input", count=2, loss="kd")
    online, cached = (
        trial_work(distinct([cell_of(SMOKE, r)], all_known(SMOKE))[0], store)
        for r in (request, replace(request, excerpt="top-k=8"))
    )
    budget = SMOKE.recipe(request).budget_tokens
    teacher_flops = forward_flops_per_token(SMOKE.model) * budget
    assert online.flops_exact - cached.flops_exact == teacher_flops
    assert online.flops_paper - cached.flops_paper == 2 * parameters(SMOKE.model) * budget
    assert cached.flops_exact == trial_work(planned(SMOKE, "input", 2), store).flops_exact
    assert (online.loss, cached.loss) == ("kd", "kd cached")


def test_a_pretraining_keeps_every_age_and_trains_on_one_device(store):
    work = base_work(PAPER, all_known(PAPER), PAPER.ages)
    assert (work.tokens, work.devices) == (PAPER.pretrain.total_tokens, 1)
    assert (work.loss, work.blocks) == ("lm", 24)
    assert work.flops_exact == exact_flops(PAPER.model, DropPlan(), PAPER.pretrain)
    assert work.flops_paper == 6 * 303_515_648 * PAPER.pretrain.budget_tokens
    assert work.kept_bytes == 4 * 303_515_648 * len(PAPER.ages)
    assert work.working_bytes == 3 * (4 + 4) * 303_515_648  # of weights and momentum
    one_age = replace(all_known(PAPER), bases={(PAPER.name, PAPER.ages[-1]): None})
    assert not base_work(PAPER, one_age, PAPER.ages).done


def test_a_trial_holds_all_its_devices_and_trains_its_recipe(store):
    request = TrialRequest(age=PAPER.ages[-1], location="input", count=8)
    work, recipe = trial_work(planned(PAPER, "input", 8), store), PAPER.recipe(request)
    assert work.tokens == recipe.warm_phase_tokens + recipe.budget_tokens
    assert work.devices == PAPER.devices_per_trial > 1
    assert (work.blocks, work.done) == (16, False)


def test_a_model_from_scratch_costs_by_its_own_size(store):
    request = TrialRequest(age=SMOKE.ages[-1], location="input", count=2, start="scratch")
    work = trial_work(distinct([cell_of(SMOKE, request)], all_known(SMOKE))[0], store)
    model, recipe = replace(SMOKE.model, num_layers=4), SMOKE.recipe(request)
    assert work.flops_exact == exact_flops(model, DropPlan(), recipe)
    assert work.kept_bytes == 4 * parameters(model)
    assert (work.blocks, work.tokens) == (4, recipe.total_tokens)


def estimate(store, trial_id):
    return store.load(CostEstimate, "trials", trial_id, ESTIMATE_FILE)


def test_the_estimate_from_before_a_trial_began_is_kept(store):
    trial, other = planned(SMOKE, "input", 2), planned(SMOKE, "output", 2)
    keep_estimates([other], store, probed=False)
    assert estimate(store, other.trial_id) is None  # nobody knows
    keep_finished(store, SMOKE, trial.cells[0].request, train_s=40.0)
    keep_estimates([trial, other], store, probed=False)
    assert estimate(store, trial.trial_id) is None  # it is done
    kept = CostEstimate(device_s=pytest.approx(41.0), peak_bytes=1, source="finished trials")
    assert estimate(store, other.trial_id) == kept
    keep_finished(store, SMOKE, planned(SMOKE, "max-gap", 2).cells[0].request, train_s=80.0)
    keep_estimates([other], store, probed=False)
    assert estimate(store, other.trial_id) == kept


def answers(store, flags, script):
    words = f"--age 320B --teacher-placement cached:top-k=8 {flags}"
    plan = finished.plan(script, store, *words.split())
    return answers_bytes(finished.prepared(plan, store))


def test_answers_are_counted_once_for_all_that_share_them(store):
    """8 ids of 2 bytes and their 2-byte probabilities a token, 8 bytes more a window of 64."""
    where = "where_to_drop"
    window = 64 * 8 * (2 + 2) + 8
    one_budget = 8192 // 64 * window
    kd = "--loss kd --location input,output"
    assert answers(store, kd, where) == one_budget
    assert answers(store, f"{kd} --seed 1,2", where) == 2 * one_budget
    assert answers(store, f"{kd} --budget 40B", where) == 15_872 // 64 * window
    arms = "--arm kd,kd-equal-flops --seed 1"  # the second reads a part of what the first does
    assert answers(store, arms, "teacher_free_vs_kd") == one_budget
    search = "--loss kd,kd+temperature=2 --location input --count 2 --gap 0 --lr_factor 1"
    assert answers(store, search, "search") == 2 * one_budget
    assert answers(store, "--loss lm --location input", where) == 0


def test_there_are_no_more_answers_than_windows_in_the_corpus(store):
    """10 windows of 64 tokens and the target of the last."""
    window = 64 * 8 * (2 + 2) + 8
    for tokens, windows in ((641, 10), (640, 9)):
        info = replace(finished.INFO, train_tokens=tokens)
        store.save(info, "corpora", info.corpus_sha256, "corpus.json")
        flags = "--loss kd --location input --seed 1,2"
        assert answers(store, flags, "where_to_drop") == windows * window


def works(count, done=0):
    """Trainings of which number n costs n FLOPs; the `done` dearest are done."""
    return [
        Work(
            scale="smoke", loss="lm", blocks=8, pass_flops=1, tokens=1, flops_exact=n,
            flops_paper=n, devices=1, done=n > count - done, kept_bytes=1, working_bytes=1,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def flops_of_most(store, script, flags, count, done=0):
    plan = finished.plan(script, store, *flags.split())
    trials = with_probes(finished.prepared(plan, store)).trials
    return [work.flops_exact for work in most_work(plan, trials, works(count, done))]


SETS = "--location input,middle,output,max-gap,random-1,random-3"


def test_a_grid_trains_all_that_is_left(store):
    assert flops_of_most(store, "where_to_drop", SETS, count=6, done=2) == [4, 3, 2, 1]
    random = f"{SETS} --search random --trials 4"
    assert flops_of_most(store, "where_to_drop", random, count=4, done=1) == [3, 2, 1]


@pytest.mark.parametrize(
    ("flags", "trials", "trainings"),
    [
        # 4, 3 and 2 of 6 sets go on, to 5 %, 25 % and the end: 4 · 0.05 + 3 · 0.2 + 2 · 0.75 = 2.3
        ("--age 320B --seed 1", 6, 3),
        ("--age 320B --seed 1,2", 12, 5),  # and the 2 finalists with the second seed
        ("--age 80B,320B --seed 1,2", 24, 9),  # a bracket an age: 2 · 4.3
    ],
)
def test_a_funnel_trains_its_rungs_and_the_finalists_with_every_seed(
    flags, trials, trainings, store
):
    funnel = f"{SETS} --search funnel --trials 2 {flags}"
    costliest = list(range(trials, trials - trainings, -1))
    assert flops_of_most(store, "where_to_drop", funnel, count=trials) == costliest


def test_controls_and_probes_of_a_funnel_have_no_rivals(store):
    """6 sets at one age: 2.3 budgets; beside them the control, and three peaks for each arm."""
    funnel = f"{SETS},none --search funnel --trials 2 --age 320B --seed 1"
    assert len(flops_of_most(store, "where_to_drop", funnel, count=7)) == 1 + 3
    probes = 2 * 3  # of the control's arm and of the others'
    most = flops_of_most(store, "where_to_drop", f"{funnel} --lr-probe", count=7 + probes)
    assert len(most) == 1 + probes + 3


@pytest.mark.parametrize(("done", "left"), [(0, 8), (3, 5), (9, 0)])
def test_a_search_trains_its_trials_and_the_winner_anew(done, left, store):
    """Winner and best preset on two new seeds each, and a control of either."""
    most = flops_of_most(store, "search", "--trials 8", count=40, done=done)
    dearest_left = 40 - done
    assert most == list(range(dearest_left, dearest_left - left - 6, -1))
