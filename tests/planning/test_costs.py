"""Seconds from trials that were timed before, and when a yes is needed."""

import math
from dataclasses import replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.preview.costs import base_work, check_cost, rates_of, trial_work
from raydistill.planning.resolve import PlannedTrial, distinct
from raydistill.specs.flops import parameters
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import TrialRequest
from raydistill.storage.store import Store
from raydistill.training.throughput import Pace, Rate, Unmeasured
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
