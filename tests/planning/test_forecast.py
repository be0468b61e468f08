"""What is left to do of a plan, in amounts that a hand computes."""

from dataclasses import replace

import pytest

from raydistill.core.units import M
from raydistill.planning.preview.costs import Work
from raydistill.planning.preview.forecast import forecast
from raydistill.training.throughput import Pace, Rate, Unmeasured

TRIAL = Work(
    scale="smoke", loss="lm", blocks=8, pass_flops=10**6, tokens=3 * M, flops_exact=36 * 10**12,
    flops_paper=20 * 10**12, devices=1, done=False, kept_bytes=4 * M, working_bytes=30 * M,
)  # fmt: skip
BASE = replace(TRIAL, blocks=10, tokens=10 * M, flops_exact=72 * 10**12, working_bytes=60 * M)
LM = Pace(
    loss="lm", blocks=8, flops_per_s=10**10, tokens_per_s=800.0, evaluate_s=0.0,
    peak_bytes=300 * M,
)  # fmt: skip
KD = replace(LM, loss="kd", tokens_per_s=1600.0, peak_bytes=500 * M)
RATE = Rate(device="cpu", source="finished trials", paces=(LM, KD))


def sentences(trials, *, bases=(), rates=None, price="unknown"):
    return list(forecast(bases, trials, rates or {"smoke": RATE}, price))


def test_a_trial_is_told_in_tokens_flops_seconds_disk_and_money():
    """36e12 FLOPs at 1e10 a second are 3,600 s."""
    assert sentences([TRIAL], price=10.0) == [
        "To do: 3M tokens, 3.6e13 FLOPs exactly, 2.0e13 by the paper's rule, device time 60m "
        "(1 device-hours).",
        "Times from finished trials: 800 to 1,600 tokens/s on each cpu.",
        "Disk: 4 MB of weights for good; each trial under way up to 30 MB of checkpoints.",
        "Money: 10.00, at 10 for an hour of one device.",
    ]


def test_what_is_done_costs_nothing_and_sums_are_over_the_rest():
    done = replace(TRIAL, done=True, tokens=7 * M)
    to_do, *_, money = sentences([TRIAL, done, TRIAL], price=10.0)
    assert to_do.startswith("To do: 6M tokens, 7.2e13 FLOPs exactly, 4.0e13 by")
    assert to_do.endswith("device time 2h (2 device-hours).")
    assert money == "Money: 20.00, at 10 for an hour of one device."
    (nothing,) = sentences([done], price=10.0)
    assert nothing.startswith("To do: 0 tokens, 0.0e0 FLOPs exactly")


@pytest.mark.parametrize(("count", "runs"), [(1, "one pretraining"), (2, "2 pretrainings")])
def test_missing_bases_come_before_the_trials_and_are_paid_for(count, runs):
    made = replace(BASE, done=True)
    lines = sentences([TRIAL], bases=[made, *[BASE] * count], price=1.0)
    assert lines[1].startswith(f"Before them {runs}: {10 * count}M tokens, ")
    assert f"device time {2 * count}h ({2 * count} device-hours)" in lines[1]
    assert lines[-2] == (
        f"Disk: {4 + 4 * count} MB of weights for good; each trial under way up to 60 MB of "
        "checkpoints."
    )
    assert lines[-1].startswith(f"Money: {1 + 2 * count}.00, at 1 ")


def test_all_devices_of_a_trial_are_paid_for():
    """Twice as fast on two, which both wait while one evaluates for an hour."""
    slow = replace(RATE, paces=(replace(LM, evaluate_s=3600.0),))
    to_do, *_, money = sentences([replace(TRIAL, devices=2)], rates={"smoke": slow}, price=5.0)
    assert "device time 3h (3 device-hours)" in to_do
    assert money.startswith("Money: 15.00, at 5 ")


def test_the_disk_under_way_is_that_of_the_largest_trial():
    lines = sentences([TRIAL, replace(TRIAL, working_bytes=90 * M), TRIAL])
    assert lines[-1] == (
        "Disk: 12 MB of weights for good; each trial under way up to 90 MB of checkpoints."
    )


def test_unknown_times_are_question_marks_with_a_reason():
    to_do, why, disk, money = sentences([TRIAL], rates={"smoke": Unmeasured()}, price=10.0)
    assert to_do.endswith("device time ?.")
    assert why == (
        "No finished trial of this model tells how long that takes (?); --probe measures it."
    )
    assert disk.startswith("Disk: 4 MB")
    assert money == "Money: ?, at 10 for an hour of one device."
    _, why, *_ = sentences([TRIAL], rates={"smoke": Unmeasured(reason="no room")})
    assert why == "A probe cannot tell how long that takes (?): no room."


def test_each_of_several_models_has_its_grounds():
    small = replace(TRIAL, scale="smoke_small")
    rates = {"smoke": RATE, "smoke_small": Unmeasured()}
    lines = sentences([TRIAL, small], rates=rates)
    assert "Times of smoke from finished trials: 800 to 1,600 tokens/s on each cpu." in lines
    assert (
        "No finished trial of smoke_small tells how long that takes (?); --probe measures it."
        in lines
    )
