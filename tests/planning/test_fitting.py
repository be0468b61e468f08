"""What fits on a device: refusals with the arithmetic, and the settings that are nearest."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from raydistill.planning.memory.fitting import FitError, check_fits, fits, nearest, proposals_of
from raydistill.planning.memory.kinds import Kind, kinds_of, memory_of
from raydistill.planning.memory.limits import PROCESS_BYTES, Limit, named
from raydistill.planning.memory.table import memory_sentences, memory_table
from raydistill.planning.prepared import prepare
from raydistill.specs.flops import parameters
from raydistill.specs.memory.setup import Setup, TeacherAt
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import DropPlan, Recipe
from raydistill.storage.store import Store
from support import finished
from support.sweeping import ROOT, environment

LARGE = ModelConfig(  # 1.11e9 parameters
    family="palm", num_layers=24, dim=2048, num_heads=16, vocab_size=50_304, context=2048
)
RECIPE = Recipe(
    peak_lr=1.0, budget_tokens=2048 * 800, batch_tokens=2048 * 8, micro_batches=2,
    warmup_tokens=0, optimizer="adamw",
)  # fmt: skip


def setup(**more):
    return Setup(**{"model": LARGE, "plan": DropPlan(), "recipe": RECIPE, "on_cpu": False, **more})


def kind(of):
    return Kind(name="lm, 24 blocks", scale="x", setup=of, memory=memory_of(of), trials=3)


def gpu(gigabytes):
    size = round(gigabytes * 1e9)
    return Limit(name="a device", memory_bytes=size, most_bytes=size, on_cpu=False)


def test_what_cannot_fit_is_refused_with_its_arithmetic_and_what_would():
    with pytest.raises(FitError) as refusal:
        check_fits([kind(setup())], named("T4"))
    message = str(refusal.value)
    assert message.startswith(
        "lm, 24 blocks: weights 4.44 GB + gradients 4.44 GB + optimizer 8.88 GB = 17.8 GB on a "
        "device before activations and logits, and a T4 has 16 GB; "
    )
    assert message.endswith(
        "; it fits with --set activation_checkpointing=blocks --set optimizer_offload=cpu "
        "--set micro_batches=4"
    )
    assert "\n" not in message


def test_on_several_devices_a_share_of_the_student_each_is_proposed():
    four = setup(devices=4, recipe=replace(RECIPE, micro_batches=4))
    assert not fits(four, gpu(20))
    assert "--sharding fully" in " ".join(proposals_of(four, gpu(20)))
    assert "--sharding fully" not in " ".join(proposals_of(setup(), gpu(20)))


def test_no_share_is_proposed_to_a_loss_that_may_not_go_with_it():
    four = setup(devices=4, recipe=replace(RECIPE, micro_batches=4), keeps_features=True)
    proposals = proposals_of(four, gpu(memory_of(four).peak / 1e9))
    assert proposals
    assert "--sharding" not in " ".join(proposals)


@pytest.mark.parametrize(
    ("loss", "sharding"), [("kd+hidden=1", "fully"), ("kd+attention=1", "none")]
)
def test_by_auto_a_plan_shards_what_its_workers_shard(tmp_path, loss, sharding):
    store = Store(tmp_path)
    flags = "--location", "input", "--loss", loss, "--devices-per-trial", "2"
    plan = finished.plan("where_to_drop", store, *flags, "--set", "micro_batches=2")
    small = Limit(name="a device", memory_bytes=1000, most_bytes=1000, on_cpu=False)
    kinds = kinds_of(prepare(plan, store), small)
    assert {kind.setup.sharding for kind in kinds if kind.name.endswith("blocks")} == {sharding}


def test_a_student_in_shares_must_fit_on_one_device_once_it_is_trained(tmp_path):
    store = Store(tmp_path)
    flags = "--location", "input", "--devices-per-trial", "2", "--sharding", "fully"
    plan = finished.plan("where_to_drop", store, *flags, "--set", "micro_batches=2")
    scored = next(k for k in kinds_of(prepare(plan, store), "unknown") if "scored" in k.name)
    left = parameters(scored.setup.model, scored.setup.plan.layers)
    assert (scored.name, scored.memory.weights) == ("lm, 4 of 6 blocks, scored", 4 * left)
    assert scored.memory.gradients == scored.memory.optimizer == 0
    assert scored.memory.floor == 4 * left
    limit = gpu(4e-9 * left - 1e-9)
    with pytest.raises(FitError, match=r"scored: weights .* none of its settings make it fit here"):
        check_fits([scored], limit)


def test_the_arithmetic_has_the_buckets_of_several_devices_and_the_teacher():
    taught = setup(devices=2, teacher=TeacherAt(model=LARGE), answer="known")
    with pytest.raises(
        FitError, match=r"gradients 8.88 GB .* \+ teacher 4.44 GB = 26.6 GB on each"
    ):
        check_fits([kind(taught)], named("L4"))


def test_a_doubtful_one_is_told_and_not_refused():
    doubtful = kind(setup())
    limit = gpu(1.02 * doubtful.peak / 1e9)
    check_fits([doubtful], limit)
    assert not fits(doubtful.setup, limit)
    (most, warning) = memory_sentences([doubtful], limit, None, [])
    assert most.startswith(f"Memory on each device: at most {doubtful.peak / 1e9:.3g} GB at once")
    assert warning.startswith("warning: lm, 24 blocks may not fit: a device has ")
    assert "it would with --set activation_checkpointing=blocks, or with --set " in warning
    assert "other bits" in warning


def test_the_one_that_may_not_fit_is_named_though_another_takes_more():
    alone = setup(on_cpu=True, devices=1)
    four = setup(on_cpu=True, devices=4, sharding="fully", recipe=replace(RECIPE, micro_batches=4))
    size = PROCESS_BYTES + round(1.06 * memory_of(alone).resident)
    limit = Limit(name="this machine", memory_bytes=size, most_bytes=100 * size, on_cpu=True)
    assert fits(alone, limit)
    assert not fits(four, limit)
    kinds = [kind(alone), replace(kind(four), name="kd, 12 blocks")]
    warning = list(memory_sentences(kinds, limit, None, []))[1]
    assert warning.startswith("warning: kd, 12 blocks may not fit: this machine has ")
    assert "of it for the libraries of 4 processes" in warning


def test_no_limit_is_no_refusal():
    check_fits([kind(setup())], "unknown")
    (most,) = memory_sentences([kind(setup())], "unknown", None, [])
    assert most.endswith("by arithmetic alone.")


def test_the_fewest_changes_come_first_and_each_proposal_fits():
    taught = setup(teacher=TeacherAt(model=LARGE), answer="known")
    for gigabytes in (30, 40, 50):
        proposals = proposals_of(taught, gpu(gigabytes))
        counts = [len(re.findall("--", words)) for words in proposals]
        assert len(set(counts)) <= 1, gigabytes
    whole = memory_of(taught).peak / 1e9
    assert proposals_of(taught, gpu(whole)) == [
        "--set activation_checkpointing=blocks", "--set optimizer_offload=cpu",
        "--teacher-placement own-devices",
    ]  # fmt: skip
    assert proposals_of(taught, gpu(1)) == []
    assert nearest(taught, gpu(1)).startswith("none of its settings make it fit here; it fits on ")


def test_processes_on_a_cpu_share_its_memory():
    limit = Limit(name="this machine", memory_bytes=64 * 10**9, most_bytes=64 * 10**9, on_cpu=True)
    assert limit.bytes_each(2) == 32 * 10**9 - PROCESS_BYTES
    check_fits([kind(setup(on_cpu=True))], limit)
    four = setup(on_cpu=True, devices=4, recipe=replace(RECIPE, micro_batches=4))
    with pytest.raises(FitError, match="this machine has 64 GB for 4 processes"):
        check_fits([kind(four)], limit)


def test_the_kinds_of_a_plan_are_the_largest_first(tmp_path):
    store = Store(tmp_path)
    plan = finished.plan("where_to_drop", store, "--location", "input,output", "--loss", "kd")
    kinds = kinds_of(prepare(plan, store), "unknown")
    assert {kind.name: kind.trials for kind in kinds} == {"kd, 4 of 6 blocks": 4, "pretraining": 1}
    assert [kind.peak for kind in kinds] == sorted((k.peak for k in kinds), reverse=True)
    done = kinds_of(finished.prepared(plan, store), "unknown")
    assert "pretraining" not in {kind.name for kind in done}


@pytest.mark.parametrize("width", [40, 100])
def test_a_table_of_a_width(width):
    kinds = [kind(setup())] * 6
    lines = list(memory_table(kinds, width))
    assert max(map(len, lines)) <= width
    assert lines[-1] == "… and 2 smaller kinds of training"
    assert "4.44 GB" in " ".join(lines)
    assert list(memory_table([], width)) == []


def test_a_plan_for_a_device_is_shown_and_refused(tmp_path):
    """4.2e9 parameters of width 4096, at 12 bytes each before they are cut."""
    sweep = ROOT / "sweeps" / "where_to_drop.py"
    flags = ("--scale", "paper_1b+width=4096", "--location", "input", "--age", "80B", "--dry-run")
    done = [
        subprocess.run(
            [sys.executable, sweep, *flags, "--storage", tmp_path, "--device", device],
            capture_output=True, text=True, env=environment(tmp_path), check=False,
        )
        for device in ("L4", "MI300X")
    ]  # fmt: skip
    assert [run.returncode for run in done] == [2, 0], done[0].stderr
    plan = " ".join(done[0].stdout.split())
    assert "memory of a device" in plan
    assert "warning: it cannot fit: " in plan
    (line,) = done[0].stderr.strip().splitlines()
    assert re.search(r"optimizer .* before activations and logits, and an L4 has 24 GB; ", line)
