"""Stopped anywhere and resumed, training gives the bits of the undisturbed run."""

import json
import resource
from dataclasses import astuple, replace

import pytest
import torch
from safetensors import SafetensorError

from raydistill.core.errors import DataError
from raydistill.data.batches import Batch
from raydistill.models.distributed import World
from raydistill.specs.recipe import decay_start
from raydistill.specs.results import (
    Progress,
    Record,
)
from raydistill.training.checkpoint import load_checkpoint, save_checkpoint
from raydistill.training.loop import initial_state, train
from raydistill.training.resume import saving_prefix, stopping_at, with_checkpoints
from support import tiny

PLAN = tiny.plan(1, 4, gap=64)  # warm phase 2 steps; removals before steps 2 and 4
HEAL = replace(
    tiny.RECIPE, optimizer="adamw", schedule="wsd", final_lr_ratio=0.0, budget_tokens=320,
    warm_phase_tokens=0, warmup_tokens=32,
)  # fmt: skip
CUT = tiny.plan(1, 4, start=0)


def norm_sum(model):
    return model.blocks[0].norm.weight.sum().item()


class Killed(BaseException):
    """The end of a process that cannot clean up."""


def start(folder, every_s=0.0, batch_of=tiny.batch_of):
    """A run from the newest checkpoint in `folder`: its state, its record and its items."""
    state, world = initial_state(tiny.student(), PLAN, tiny.RECIPE), World.here()
    record = load_checkpoint(folder, state, world)
    steps = train(state, batch_of, plan=PLAN, spec=tiny.SPEC, world=world, heldout_nll=norm_sum)
    items = with_checkpoints(steps, state, record, folder=folder, every_s=every_s, world=world)
    return state, record, items


def run(folder, stop_after=None, batch_of=tiny.batch_of):
    """Train to the end, or be killed after `stop_after` steps."""
    state, record, items = start(folder, batch_of=batch_of)
    for item in items:
        if isinstance(item, Progress) and state.step == stop_after:
            with pytest.raises(Killed):  # closed, it would leave a checkpoint
                items.throw(Killed())
    return state, record


def result(folder):
    """What a run to the end comes to: the bits of the weights and momenta, and both curves."""
    state, record = run(folder)
    return (
        tiny.fingerprint(state.student, state.optimizer), record.curve, record.heldout_curve,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return result(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("steps", range(1, 11))
def test_stopped_at_any_step_it_ends_with_the_same_bits(tmp_path, undisturbed, steps):
    """In the warm-up, before, at and after either removal, and before the last step."""
    run(tmp_path, stop_after=steps)
    assert result(tmp_path) == undisturbed


def test_stopped_again_and_again_it_still_ends_with_the_same_bits(tmp_path, undisturbed):
    for steps in (1, 2, 4, 5, 9):
        run(tmp_path, stop_after=steps)
    assert result(tmp_path) == undisturbed


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_hidden_tokens_are_the_same_after_a_kill(tmp_path, monkeypatch, undisturbed, steps):
    """In the warm phase, at its end, and between removals."""
    monkeypatch.setattr(tiny, "SPEC", replace(tiny.SPEC, loss="masked-lm+share=0.4"))
    expected = result(tmp_path / "whole")
    run(tmp_path / "killed", stop_after=steps)
    assert result(tmp_path / "killed") == expected
    assert expected[0] != undisturbed[0]


def test_killed_between_two_micro_batches_it_resumes_from_the_step_before(tmp_path, undisturbed):
    class DiesHalfway(Batch):
        """Its second micro-batch never comes to the device."""

        def micro_batches(self, parts):
            class Second:
                def to(self, device):
                    raise Killed

            return [super().micro_batches(parts)[0], Second()]

    def dies_in_step_five(step):
        batch = tiny.batch_of(step)
        return batch if step != 5 else DiesHalfway(*astuple(batch))

    with pytest.raises(Killed):
        run(tmp_path, batch_of=dies_in_step_five)
    assert result(tmp_path) == undisturbed


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "deleted", "no manifest", "empty manifest", "odd manifest"]
)
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, undisturbed, damage):
    run(tmp_path, stop_after=7)
    newest = max(tmp_path.glob("step-*"), key=lambda p: int(p.name[5:]))
    weights = newest / "model.safetensors"
    content = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(content[:-10])
    elif damage == "flipped":
        weights.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    elif damage == "deleted":
        weights.unlink()
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        (newest / "manifest.json").write_text("" if damage == "empty manifest" else '{"files": 1}')
    assert result(tmp_path) == undisturbed


def test_row_18_a_checkpoint_of_a_newer_schema_is_neither_read_nor_written_over(tmp_path):
    run(tmp_path, stop_after=7)
    newest = max(tmp_path.glob("step-*"), key=lambda p: int(p.name[5:]))
    manifest = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(manifest | {"schema": 4}))
    with pytest.raises(DataError, match="written by schema 4, this reads 1"):
        run(tmp_path)
    assert newest.is_dir()


def test_on_a_full_disk_the_last_good_checkpoint_stays_and_nothing_half_written(
    tmp_path, undisturbed
):
    """No file may grow beyond half of the weights, as if that were all the free space."""
    run(tmp_path, stop_after=5)
    before = sorted(tmp_path.rglob("*"))
    limit = next(tmp_path.glob("step-*/model.safetensors")).stat().st_size // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises((OSError, SafetensorError)):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.rglob("*")) == before
    assert result(tmp_path) == undisturbed


def momentum_bytes(state):
    slots = [slot for slots in state.optimizer.state.values() for slot in slots.values()]
    return sum(slot.nbytes for slot in slots if isinstance(slot, torch.Tensor))


def test_removed_layers_leave_no_momentum_in_a_checkpoint(tmp_path):
    state, _ = run(tmp_path)
    student = state.student
    learning = sum(p.nbytes for p in student.named_parameters().values())
    assert momentum_bytes(state) == learning
    record = Record(train_s=1.5)
    save_checkpoint(tmp_path / "again", state, record, World.here())
    fresh = initial_state(tiny.student(), PLAN, tiny.RECIPE)
    saved = replace(record, checkpoint_s=0.0)  # what its own writing took is known after it
    assert load_checkpoint(tmp_path / "again", fresh, World.here()) == saved
    assert fresh.student.kept == [0, 2, 3, 5]
    assert momentum_bytes(fresh) == learning


def run_to_rung(folder, tokens):
    """The steps at a rung that a run stops at."""
    state, record, items = start(folder, every_s=1e9)
    list(stopping_at(tokens, items, state, record, folder=folder, world=World.here()))
    return state.step


@pytest.mark.parametrize("rungs", [[32], [64], [96, 128, 288], [96, 96, 64, 320]])
def test_rungs_and_then_the_rest_end_with_the_bits_of_the_whole(tmp_path, undisturbed, rungs):
    """In the warm phase, at its end, between removals, repeated, and at the last step."""
    rung_steps = [run_to_rung(tmp_path, tokens) for tokens in rungs]
    assert rung_steps == [max(rungs[: n + 1]) // 32 for n in range(len(rungs))]
    assert result(tmp_path) == undisturbed


def heal(folder, budget, prefix, *, stop_after=None, from_prefix=False):
    """By AdamW and warm-up–stable–decay; budgets share the checkpoint in `prefix`.

    Returns the bits at the end, and the steps at the start.
    """
    recipe, world = replace(HEAL, budget_tokens=budget), World.here()
    state, at = initial_state(tiny.student(), CUT, recipe), decay_start(recipe)
    record = load_checkpoint(folder, state, world)
    if from_prefix and not record.tokens:
        record = load_checkpoint(prefix, state, world, max_steps=at // recipe.batch_tokens)
    first_step, spec = state.step, replace(tiny.SPEC, recipe=recipe)
    steps = train(state, tiny.batch_of, plan=CUT, spec=spec, world=world, heldout_nll=norm_sum)
    items = with_checkpoints(steps, state, record, folder=folder, every_s=0.0, world=world)
    for item in saving_prefix(items, state, record, folder=prefix, at_tokens=at, world=world):
        if isinstance(item, Progress) and state.step == stop_after:
            break
    return tiny.fingerprint(state.student, state.optimizer), first_step


@pytest.mark.parametrize("stop_at", range(1, 15))
def test_closed_between_any_two_items_a_training_loses_nothing(tmp_path, undisturbed, stop_at):
    """Also right after held-out nll was measured, which is then measured again."""
    state, _, items = start(tmp_path, every_s=1e9)
    for _ in range(stop_at):
        next(items)
    items.close()
    steps = state.step
    _, record = run(tmp_path, stop_after=steps + 1)
    assert len(record.curve) == min(steps + 1, 10)
    assert result(tmp_path) == undisturbed


@pytest.mark.parametrize("steps", [1, 5, 8, 9])
def test_adamw_too_resumes_with_the_same_bits(tmp_path, steps):
    expected, _ = heal(tmp_path / "undisturbed", 320, tmp_path / "prefix")
    heal(tmp_path / "stopped", 320, tmp_path / "other", stop_after=steps)
    assert heal(tmp_path / "stopped", 320, tmp_path / "other") == (expected, steps)


def test_a_longer_budget_starts_where_the_shorter_one_began_to_decay(tmp_path):
    heal(tmp_path / "short", 320, tmp_path / "prefix")
    expected, _ = heal(tmp_path / "anew", 640, tmp_path / "unused")
    longer = heal(tmp_path / "longer", 640, tmp_path / "prefix", from_prefix=True)
    assert longer == (expected, 8)


def test_a_shorter_budget_does_not_start_beyond_its_own_decay(tmp_path):
    heal(tmp_path / "long", 640, tmp_path / "prefix")
    _, first_step = heal(tmp_path / "short", 320, tmp_path / "prefix", from_prefix=True)
    assert first_step == 0
