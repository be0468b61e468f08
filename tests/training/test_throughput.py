"""How fast a device is, from what was measured on it."""

from dataclasses import replace

import pytest

from raydistill.planning.resolve import resolve
from raydistill.specs.results import CostEstimate, Finished, Scores, TrialResult, Unfinished
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import TrialRequest
from raydistill.storage.store import Store
from raydistill.training.throughput import (
    ESTIMATE_FILE,
    Figures,
    Pace,
    Peak,
    Probed,
    Rate,
    Unmeasured,
    device_s,
    figures_of,
    measured_rate,
    median_rate,
    peak_path,
    probe_path,
    rate_of,
    utilisation_pct,
)
from support.planned import all_known, cell_of, finished, keep_finished

SMOKE = load_scale("smoke")
INPUT = TrialRequest(age=SMOKE.ages[-1], location="input", count=2)
WHOLE = replace(INPUT, location="none", count=0)


def pace(loss="lm", blocks=4, flops_per_s=1e9):
    return Pace(
        loss=loss, blocks=blocks, flops_per_s=flops_per_s, tokens_per_s=flops_per_s / 1e6,
        evaluate_s=1.0, peak_bytes=100,
    )  # fmt: skip


def rate(*paces):
    return Rate(device="cpu", source="a probe", paces=paces)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_the_nearest_pace_is_of_the_same_loss_first_and_then_of_as_many_blocks():
    lm4, lm6, kd4 = pace(), pace(blocks=6), pace("kd")
    known = rate(lm4, lm6, kd4)
    assert known.pace("kd", 6) == kd4
    assert known.pace("lm", 6) == lm6
    assert known.pace("minima", 4) in (lm4, kd4)


def test_a_loss_by_another_teacher_has_a_pace_of_its_own(store):
    wide, own, lm = pace("kd by wide-1"), pace("kd"), pace()
    assert rate(own, wide, lm).pace("kd by wide-1", 6) == wide
    assert rate(lm, own).pace("kd by wide-1", 6) == own
    assert rate(lm, own).pace("kd cached", 4) in (lm, own)
    kd = keep_finished(store, SMOKE, replace(INPUT, loss="kd"), train_s=1.0)
    taught = replace(kd, teacher=replace(kd.base, name="wide-1", weights_sha256="a" * 64))
    store.save(finished(taught, SMOKE, train_s=2.0), "trials", taught.trial_id, "trained.json")
    assert {p.loss for p in measured_rate(SMOKE.model, store).paces} == {"kd", "kd by wide-1"}


def test_finished_trials_of_other_shapes_are_kept_apart(store):
    keep_finished(store, SMOKE, INPUT, train_s=10.0)
    keep_finished(store, SMOKE, WHOLE, train_s=40.0)
    known = measured_rate(SMOKE.model, store)
    assert {p.blocks for p in known.paces} == {4, 6}
    assert known.pace("lm", 6).flops_per_s < known.pace("lm", 4).flops_per_s


def test_finished_trials_come_before_an_old_probe_and_a_new_probe_before_them(store):
    def rate_now(*, probed):
        return rate_of(SMOKE.model, SMOKE.heal, store, probed=probed)

    assert rate_now(probed=True) == Unmeasured()
    store.save(Probed(found=rate(pace())), *probe_path(SMOKE.model, SMOKE.heal))
    assert rate_now(probed=False).source == "a probe"
    keep_finished(store, SMOKE, INPUT, train_s=10.0)
    assert rate_now(probed=False).source == "finished trials"
    assert rate_now(probed=True).source == "a probe"


def test_of_a_failed_probe_there_is_its_reason_or_the_rate_of_finished_trials(store):
    reason = Unmeasured(reason="too large")
    store.save(Probed(found=reason), *probe_path(SMOKE.model, SMOKE.heal))
    assert rate_of(SMOKE.model, SMOKE.heal, store, probed=True) == reason
    keep_finished(store, SMOKE, INPUT, train_s=10.0)
    assert rate_of(SMOKE.model, SMOKE.heal, store, probed=True).source == "finished trials"


def test_a_probe_holds_for_its_batch_and_precision_only():
    halved = replace(SMOKE.heal, precision="bfloat16")
    assert probe_path(SMOKE.model, SMOKE.heal) != probe_path(SMOKE.model, halved)
    assert probe_path(SMOKE.model, SMOKE.heal) == probe_path(
        SMOKE.model, replace(SMOKE.heal, peak_lr=1.0)
    )


def test_devices_side_by_side_give_the_median_and_the_most_memory():
    slow, fast, odd = (rate(pace(flops_per_s=f)) for f in (1e9, 2e9, 9e9))
    odd = replace(odd, paces=(replace(odd.paces[0], peak_bytes=500),))
    (both,) = median_rate([odd, slow, fast]).paces
    assert (both.flops_per_s, both.peak_bytes) == (2e9, 500)


def test_utilisation_is_of_all_devices_of_a_trial():
    trained = finished(resolve(cell_of(SMOKE, INPUT), all_known(SMOKE)), SMOKE, train_s=10.0)
    peak = Peak(device="cpu", precision="float32", flops_per_s=trained.cost.flops_exact / 5)
    assert utilisation_pct(trained, peak) == pytest.approx(50.0)
    on_two = replace(trained, made_by=replace(trained.made_by, world_size=2))
    assert utilisation_pct(on_two, peak) == pytest.approx(25.0)
    assert device_s(on_two) == 2 * device_s(trained) == 22.0


def test_figures_are_known_once_the_peak_and_an_estimate_are(store):
    spec = resolve(cell_of(SMOKE, INPUT), all_known(SMOKE))
    scores = Scores(weights_sha256="f" * 64, nll=1.0, tasks={})
    result = TrialResult(trained=finished(spec, SMOKE, train_s=10.0), before=scores, after=scores)
    outcome = Finished(result=result, before={}, after={})
    assert figures_of(spec.trial_id, outcome, store) == Figures()
    assert Figures().metrics == {}
    store.save(
        Peak(device="cpu", precision="float32", flops_per_s=1e12), *peak_path("cpu", "float32")
    )
    guess = CostEstimate(device_s=12.0, peak_bytes=7, source="a probe")
    store.save(guess, "trials", spec.trial_id, ESTIMATE_FILE)
    known = figures_of(spec.trial_id, outcome, store)
    assert known.estimate == guess
    assert known.metrics.keys() == {"utilisation_pct", "estimated_device_s"}
    assert figures_of(spec.trial_id, Unfinished(), store) == Figures()
