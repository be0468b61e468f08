"""Seconds from trials that were timed before, what a search may cost, and when a yes is needed."""

import math
from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.preview.costs import (
    Work,
    base_work,
    check_cost,
    most_work,
    rates_of,
    trial_work,
)
from raydistill.planning.resolve import PlannedTrial, distinct
from raydistill.specs.flops import forward_flops_per_token, parameters
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import TrialRequest
from raydistill.storage.store import Store
from raydistill.training.throughput import Pace, Rate, Unmeasured
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


def works(count, done=0):
    """Trainings of which number n costs n FLOPs; the `done` dearest are done."""
    return [
        Work(
            scale="smoke", loss="lm", blocks=8, tokens=1, flops_exact=n, flops_paper=n, devices=1,
            done=n > count - done, kept_bytes=1, working_bytes=1,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def flops_of_most(store, script, flags, count, done=0):
    plan = finished.plan(script, store, *flags.split())
    return [work.flops_exact for work in most_work(plan, works(count, done))]


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


@pytest.mark.parametrize(("done", "left"), [(0, 8), (3, 5), (9, 0)])
def test_a_search_trains_its_trials_and_the_winner_anew(done, left, store):
    """Winner and best preset on two new seeds each, and a control of either."""
    most = flops_of_most(store, "search", "--trials 8", count=40, done=done)
    dearest_left = 40 - done
    assert most == list(range(dearest_left, dearest_left - left - 6, -1))
