"""What a recipe says about memory: which settings change no bit, and what bfloat16 weights are."""

from dataclasses import replace

import pytest
import torch

from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.training.checkpoint import load_checkpoint
from raydistill.training.loop import initial_state, train
from raydistill.training.resume import with_checkpoints
from support import tiny

PLAN = tiny.plan(1, 4, gap=64)
MIXED = replace(tiny.RECIPE, precision="bfloat16", param_dtype="bfloat16")


def run(recipe, loss="kd", folder=None, stop_after=None):
    """The state at the end, and the curve."""
    state, world = initial_state(tiny.student(), PLAN, recipe), World.here()
    teacher = replace(tiny.teacher(), recipe=recipe)
    record = load_checkpoint(folder, state, world) if folder else None
    items = train(
        state, tiny.batch_of, plan=PLAN, spec=replace(tiny.SPEC, recipe=recipe, loss=loss),
        world=world, heldout_nll=lambda model: 0.0, teacher=teacher,
    )  # fmt: skip
    if folder:
        items = with_checkpoints(items, state, record, folder=folder, every_s=1e9, world=world)
    curve = []
    for item in items:
        if isinstance(item, Progress):
            curve.append(item.loss)
            if len(curve) == stop_after:
                items.close()
    return state, curve


def bits(outcome):
    state, curve = outcome
    return tiny.fingerprint(state.student, state.optimizer), curve


@pytest.mark.parametrize("loss", ["kd", "kd+hidden=1+attention=1", "masked-lm+share=0.3"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_blocks_computed_twice_train_to_the_same_bits(precision, loss):
    recipe = replace(tiny.RECIPE, precision=precision)
    again = replace(recipe, activation_checkpointing="blocks")
    assert bits(run(again, loss)) == bits(run(recipe, loss))


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_an_optimizer_on_the_cpu_trains_to_the_same_bits(optimizer):
    """Without a GPU nothing moves; the parameters are updated one after the other."""
    recipe = replace(tiny.RECIPE, optimizer=optimizer)
    away = run(replace(recipe, optimizer_offload="cpu"))
    assert bits(away) == bits(run(recipe))
    slots = [away[0].optimizer.slots(p) for p in away[0].optimizer.parameters]
    assert {tensor.device.type for kept in slots for tensor in kept.values()} == {"cpu"}


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_bfloat16_weights_are_the_rounded_float32_ones_of_the_optimizer(optimizer):
    state, curve = run(replace(MIXED, optimizer=optimizer))
    for p in state.student.model.parameters():
        whole = state.optimizer.float32(p)
        assert (p.dtype, whole.dtype) == (torch.bfloat16, torch.float32)
        assert torch.equal(p.data, whole.bfloat16())
        assert len(state.optimizer.slots(p)) == (2 + 1 if optimizer == "adamw" else 1)
    assert state.student.model.cos_TK.dtype == torch.float32
    _, usual = run(replace(tiny.RECIPE, optimizer=optimizer, precision="bfloat16"))
    assert curve == pytest.approx(usual, abs=0.02)


def test_small_steps_are_not_lost_in_bfloat16():
    """A step of 1e-6 is below half a unit of a weight of 1 in bfloat16: 2⁻⁹."""
    state, _ = run(replace(MIXED, peak_lr=1e-6))
    norm = state.student.model.final_norm.weight
    assert torch.equal(norm, torch.ones_like(norm))
    assert (state.optimizer.float32(norm) != 1).all()


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
@pytest.mark.parametrize("steps", [1, 5, 9])
def test_stopped_anywhere_bfloat16_weights_resume_with_the_same_bits(tmp_path, steps, optimizer):
    recipe = replace(MIXED, optimizer=optimizer)
    whole, curve = run(recipe)
    run(recipe, folder=tmp_path, stop_after=steps)
    resumed, rest = run(recipe, folder=tmp_path)
    assert rest == curve[steps:]
    for p, q in zip(whole.optimizer.parameters, resumed.optimizer.parameters, strict=True):
        assert torch.equal(whole.optimizer.float32(p), resumed.optimizer.float32(q))
