"""The memory of a trial's devices: against tensors that torch holds, and by hand."""

from dataclasses import replace

import pytest

from raydistill.specs.flops import parameters
from raydistill.specs.memory.setup import TeacherAt
from raydistill.specs.memory.trial_memory import learning_parameters, trial_memory
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.trial import DropPlan, LayerDrop
from support.counted_training import counted_peak, setup_of


def palm(num_layers=4, dim=64, vocab_size=2048, context=128):
    return ModelConfig(
        family="palm", num_layers=num_layers, dim=dim, num_heads=4, vocab_size=vocab_size,
        context=context,
    )  # fmt: skip


ENCODER = FactorisedConfig(
    family="encoder", num_layers=6, dim=64, num_heads=4, vocab_size=512, context=128,
    embedding=32, feed_forward=256,
)  # fmt: skip
TAUGHT = {"teacher": TeacherAt(model=palm()), "answer": "known"}
LATE = DropPlan(drops=(LayerDrop(at_tokens=25_600, layer=1), LayerDrop(at_tokens=25_600, layer=2)))
BFLOAT16 = {"precision": "bfloat16", "param_dtype": "bfloat16"}
# Where logits, activations or weights are most of it: model, windows, settings.
CASES = {
    "a small micro-batch of a wide model": (palm(12, 128, 512, 64), 1, {}),
    "accumulated": (palm(), 2, {"micro_batches": 2}),
    "activations": (palm(12, vocab_size=64), 8, {}),
    "activations in bfloat16": (palm(12, vocab_size=64), 8, {"precision": "bfloat16"}),
    "bfloat16 weights": (palm(12, 128, 512, 64), 1, BFLOAT16),
    "blocks again": (palm(12, vocab_size=64), 8, {"activation_checkpointing": "blocks"}),
    "blocks again in bfloat16": (
        palm(12, vocab_size=64),
        8,
        {**BFLOAT16, "activation_checkpointing": "blocks"},
    ),
    "adamw": (palm(12, 128, 512, 64), 1, {"optimizer": "adamw"}),
    "doomed blocks": (palm(8), 2, {"plan": LATE}),
    "encoder": (ENCODER, 2, {}),
    "encoder in bfloat16": (ENCODER, 2, {"precision": "bfloat16"}),
    "logits": (palm(), 2, {}),
    "logits in bfloat16": (palm(), 2, {"precision": "bfloat16"}),
    "teacher": (palm(), 2, TAUGHT),
    "teacher in bfloat16": (palm(), 2, {**TAUGHT, "precision": "bfloat16"}),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_peak_is_what_torch_holds_at_the_most(case):
    model, windows, settings = CASES[case]
    setup = setup_of(model, windows, **settings)
    assert trial_memory(setup).peak == pytest.approx(counted_peak(setup), rel=0.05)


@pytest.mark.parametrize(("optimizer", "bytes_each"), [("adamw", 16), ("lion", 12)])
def test_weights_gradients_and_optimizer_of_a_model_that_learns_whole(optimizer, bytes_each):
    model = palm(24, 1024, 50_304, 2048)
    memory = trial_memory(setup_of(model, 1, optimizer=optimizer))
    assert memory.floor == bytes_each * parameters(model)
    assert memory.weights == memory.gradients == 4 * 303_515_648


def test_doomed_blocks_have_weights_until_they_leave_and_nothing_that_learns():
    model = palm(8)
    later = trial_memory(setup_of(model, 2, plan=LATE))
    at_once = tuple(LayerDrop(at_tokens=0, layer=drop.layer) for drop in LATE.drops)
    now = trial_memory(setup_of(model, 2, plan=DropPlan(drops=at_once)))
    gone = 4 * (parameters(model) - parameters(model, (1, 2)))
    assert later.weights - now.weights == gone
    assert (later.gradients, later.optimizer) == (now.gradients, now.optimizer)
    assert learning_parameters(setup_of(model, 2, plan=LATE)) == parameters(model, (1, 2))
    assert later.peak > now.peak
    plans = (LATE, DropPlan(drops=at_once))
    ranks = [setup_of(model, 2, plan=plan, devices=2, micro_batches=2) for plan in plans]
    assert trial_memory(ranks[0]).weights - trial_memory(ranks[1]).weights == gone


def test_shares_and_buckets_of_several_devices():
    one = setup_of(palm(12), 2, micro_batches=2)
    whole = trial_memory(replace(one, devices=2))
    shared = trial_memory(replace(one, devices=2, sharding="fully"))
    alone = trial_memory(one)
    assert whole.gradients == 2 * alone.gradients  # and the buckets of DDP
    assert shared.gradients == alone.gradients // 2
    assert shared.optimizer == alone.optimizer // 2
    assert alone.weights // 2 < shared.weights < alone.weights
    assert trial_memory(replace(one, sharding="fully")) == alone  # of one device there are none


def test_where_the_teacher_is():
    setup = setup_of(palm(), 2, micro_batches=2, devices=2, **TAUGHT)
    model = palm(12)
    size = 4 * parameters(model)
    held = {
        place: trial_memory(replace(setup, teacher=TeacherAt(model=model, place=place))).teacher
        for place in ("apart", "beside", "cached", "sharded")
    }
    assert held["apart"] == held["cached"] == 0
    assert size // 2 < held["sharded"] < held["beside"] == size


def with_recipe(setup, **fields):
    return replace(setup, recipe=replace(setup.recipe, **fields))


def test_checkpointing_keeps_the_inputs_of_blocks_and_computes_one_again():
    setup = setup_of(palm(12, vocab_size=64), 8)
    again = trial_memory(with_recipe(setup, activation_checkpointing="blocks"))
    kept = trial_memory(setup)
    assert again.activations < kept.activations / 5
    assert again.peak < kept.peak / 3
    assert again.floor == kept.floor


def test_bfloat16_weights_have_float32_copies():
    setup = setup_of(palm(), 2)
    bfloat16 = with_recipe(setup, **BFLOAT16)
    float32, half = trial_memory(setup), trial_memory(bfloat16)
    assert half.weights == float32.weights // 2
    assert half.gradients == float32.gradients
    assert half.optimizer == 2 * float32.optimizer  # the copies and the momentum
    offloaded = with_recipe(bfloat16, optimizer_offload="cpu")
    assert trial_memory(offloaded).optimizer == half.optimizer
    assert trial_memory(replace(offloaded, on_cpu=False)).optimizer == float32.optimizer
    on_gpu = replace(with_recipe(setup, optimizer_offload="cpu"), on_cpu=False)
    assert trial_memory(on_gpu).optimizer == 0


def test_a_model_that_is_not_trained_has_weights_alone():
    setup = setup_of(palm(), 2)
    idle = replace(setup.recipe, budget_tokens=0)
    memory = trial_memory(replace(setup, recipe=idle, on_cpu=False))
    assert memory.floor == memory.peak == 4 * parameters(palm())


def test_a_process_on_a_cpu_keeps_what_it_frees_in_small_pieces():
    setup = setup_of(palm(12, 128, 512, 64), 1)
    memory = trial_memory(setup)
    assert memory.resident - memory.peak > memory.activations // 2
    assert memory.resident <= memory.floor + memory.activations + memory.logits + memory.weights
    on_gpu = trial_memory(replace(setup, on_cpu=False))
    assert on_gpu.resident == on_gpu.peak
    large = trial_memory(setup_of(palm(2, 64, 2048, 65_536), 2))  # in pieces of 33 MB and more
    assert large.resident == large.peak
