"""What a plan costs on devices that are not at hand, in amounts that a hand computes."""

import re

import pytest

from raydistill.planning.lr_probe import with_probes
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.costs import most_work, plan_work
from raydistill.planning.preview.devices import assumed_speed
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.preview.estimate import estimate_table, estimator_of
from raydistill.specs.flops import forward_flops_per_token, training_flops_per_token
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from support import finished

SMOKE = load_scale("smoke")
WHERE = ("--age", "320B", "--location", "input")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def parts(store, *flags, assumed=None, prepared=None):
    """The rows of the estimate: runs, FLOPs, and from the fast to the slow end."""
    plan = finished.plan("where_to_drop", store, *WHERE, "--dry-run", *flags)
    sweep = with_probes((prepared or finished.prepared)(plan, store))
    bases, work = plan_work(sweep)
    estimator = estimator_of(sweep, assumed or plan.options.assumed)
    most = most_work(plan, sweep.trials, work)
    table = list(estimate_table(sweep, bases, most, estimator))
    return {line.split()[0]: re.split(r"  +", line)[1:] for line in table}, work, estimator


def test_hours_and_money_are_the_exact_flops_over_the_speed(store):
    """One student of 4 blocks, at 1 % to 2 % of 66.9e12 FLOP/s in float32."""
    flags = ["--device", "H100", "--utilisation", "0.01-0.02", "--price-per-hour", "1e8"]
    rows, (work,), estimator = parts(store, *flags)
    seconds = work.flops_exact / 66.9e12 / 0.02
    hours, money = rows["trials"][2:]
    assert hours == f"{seconds / 3600:.2g} to {2 * seconds / 3600:.2g}"
    assert money == " to ".join(f"{1e8 * s / 3600:,.0f}" for s in (seconds, 2 * seconds))
    measured = 16 * 64 + 6 * 4 * 64  # windows of 64 tokens: perplexity, and six points of a curve
    student = forward_flops_per_token(SMOKE.model) - 2 * (
        forward_flops_per_token(SMOKE.model) - 2 * SMOKE.model.vocab_size * SMOKE.model.dim
    ) // SMOKE.model.num_layers  # fmt: skip
    run = next(run for run in estimator.runs_of(work) if run.part == "evaluation")
    assert run.flops == measured * student
    assert "bases" not in rows  # they are there
    assert "teachers" not in rows


def test_bases_and_teachers_are_apart_from_trials(store):
    flags = ["--loss", "kd", "--device", "a100", "--price-per-hour", "2"]
    rows, (work,), _ = parts(store, *flags, prepared=prepare)
    assert [*rows] == ["runs", "bases", "trials", "teachers", "evaluation", "all"]
    budget = SMOKE.train_tokens(SMOKE.budget)
    assert work.teacher_flops == budget * forward_flops_per_token(SMOKE.model)
    assert rows["bases"][0] == rows["trials"][0] == rows["teachers"][0] == "1"
    assert rows["evaluation"][0] == "2"  # of the base and of the student
    cached, (cheaper,), _ = parts(store, *flags, "--teacher-placement", "cached:top-k=8")
    assert cheaper.teacher_flops == 0
    assert cached["teachers"][:2] == rows["teachers"][:2]  # each window once, for one student


def test_tokens_a_second_are_of_the_whole_model(store):
    """10 tokens/s of the whole model: a student of fewer blocks is as much faster as cheaper."""
    rows, (work,), estimator = parts(store, assumed=assumed_speed("", 10.0, 20.0))
    whole = training_flops_per_token(SMOKE.model, learning=6, frozen=0)
    fast, slow = estimator.device_s(estimator.runs_of(work)[:1])
    assert (fast, slow) == pytest.approx([work.flops_exact / whole / n for n in (20, 10)])
    assert rows["trials"][2] == f"{fast / 3600:.2g} to {slow / 3600:.2g}"


def test_the_plan_has_the_estimate_in_place_of_what_nobody_measured(store):
    plan = finished.plan(
        "where_to_drop", store, *["--dry-run", "--device", "A100", "--price-per-hour", "3"]
    )
    text = describe(prepare(plan, store), width=80)
    assert "?" not in text.partition("every trial")[2]
    assert "NVIDIA A100 datasheet" in text
    assert "19.5 TFLOP/s in float32 (dense" in " ".join(text.split())
    assert "Not in it: tasks whose items are not here yet (continuation" in text
    assert "), the reading of text, the scoring of layers" in " ".join(text.split())
    long = [line for line in text.splitlines() if len(line) > 80]
    assert all(str(store.root) in line and len(line.split()) == 1 for line in long)


def test_fine_tunings_on_probes_are_counted(store):
    flags = ["--device", "H100", "--utilisation", "0.01"]
    rows, _, _ = parts(store, *flags, prepared=prepare)
    more, _, _ = parts(store, *flags, "--probes", "paraphrase", prepared=prepare)
    tokens = 2 * 3 * (3 * 2 * 1_024 + 480) * 50  # both starts, three seeds, two epochs
    flops = tokens * forward_flops_per_token(SMOKE.model)
    assert float(more["evaluation"][1]) - float(rows["evaluation"][1]) == pytest.approx(
        flops, rel=0.1
    )
    text = describe(
        prepare(finished.plan("where_to_drop", store, *WHERE, "--probes", "paraphrase"), store)
    )
    assert "probes    paraphrase; 6 fine-tunings of its base, from its weights and from" in text
