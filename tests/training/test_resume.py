"""Stopped anywhere and gone on with, training gives the bits of the undisturbed run."""

import json
import resource
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError

from raydistill.core.errors import DataError
from raydistill.data.batches import Batch
from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.specs.training_record import Record
from raydistill.training.checkpoint import load_checkpoint, save_checkpoint
from raydistill.training.loop import begin, train
from raydistill.training.optimizers import decay_start
from raydistill.training.resume import branching, recorded, resume, stopping
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
    """The end of a process that takes no leave."""


def sitting(folder, stop_after=None, batch_of=tiny.batch_of):
    """Train until `stop_after` steps are done; as a killed process, it takes no leave."""
    state = begin(tiny.student(), PLAN, tiny.RECIPE)
    world = World.here()
    record = resume(state, folder, world)
    steps = train(state, batch_of, plan=PLAN, spec=tiny.SPEC, world=world, heldout_nll=norm_sum)
    items = recorded(steps, state, record, folder=folder, every_s=0.0, world=world)
    for item in items:
        if isinstance(item, Progress) and state.step == stop_after:
            with pytest.raises(Killed):  # closed, it would leave a checkpoint
                items.throw(Killed())
    return state, record


def values(record):
    return record.curve, record.heldout_curve


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    state, record = sitting(tmp_path_factory.mktemp("whole"))
    return tiny.fingerprint(state.student, state.optimizer), values(record)


@pytest.mark.parametrize("steps", range(1, 11))
def test_stopped_at_any_step_it_ends_with_the_same_bits(tmp_path, undisturbed, steps):
    """In the warm-up, before, at and after either removal, and before the last step."""
    sitting(tmp_path, stop_after=steps)
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


def test_stopped_again_and_again_it_still_does(tmp_path, undisturbed):
    for steps in (1, 2, 4, 5, 9):
        sitting(tmp_path, stop_after=steps)
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


def test_killed_between_two_micro_batches_it_goes_on_from_the_step_before(tmp_path, undisturbed):
    class DiesHalfway(Batch):
        """The second of its micro-batches never comes to the device."""

        def micro_batches(self, parts):
            class Second:
                def to(self, device):
                    raise Killed

            return [super().micro_batches(parts)[0], Second()]

    def dies_in_step_five(step):
        batch = tiny.batch_of(step)
        return batch if step != 5 else DiesHalfway(batch.numbers, batch.ids)

    with pytest.raises(Killed):
        sitting(tmp_path, batch_of=dies_in_step_five)
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "deleted", "no manifest", "empty manifest", "odd manifest"]
)
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, undisturbed, damage):
    sitting(tmp_path, stop_after=7)
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
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


def test_row_18_a_checkpoint_of_a_newer_schema_is_neither_read_nor_written_over(tmp_path):
    sitting(tmp_path, stop_after=7)
    newest = max(tmp_path.glob("step-*"), key=lambda p: int(p.name[5:]))
    manifest = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(manifest | {"schema": 4}))
    with pytest.raises(DataError, match="written by schema 4, this reads 1"):
        sitting(tmp_path)
    assert newest.is_dir()


def test_on_a_full_disk_the_last_good_checkpoint_stays_and_nothing_half_written(
    tmp_path, undisturbed
):
    """No file may grow beyond half of the weights: as if that were all that is left."""
    sitting(tmp_path, stop_after=5)
    before = sorted(tmp_path.rglob("*"))
    limit = next(tmp_path.glob("step-*/model.safetensors")).stat().st_size // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises((OSError, SafetensorError)):
            sitting(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.rglob("*")) == before
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


def momentum_bytes(state):
    slots = [slot for slots in state.optimizer.state.values() for slot in slots.values()]
    return sum(slot.nbytes for slot in slots if isinstance(slot, torch.Tensor))


def test_removed_layers_leave_no_momentum_in_a_checkpoint(tmp_path):
    state, _ = sitting(tmp_path)
    student = state.student
    learning = sum(p.nbytes for p in student.named_parameters().values())
    assert momentum_bytes(state) == learning
    save_checkpoint(tmp_path / "again", state, "{}")
    fresh = begin(tiny.student(), PLAN, tiny.RECIPE)
    assert load_checkpoint(tmp_path / "again", fresh, World.here()) == "{}"
    assert fresh.student.kept == [0, 2, 3, 5]
    assert momentum_bytes(fresh) == learning


def rung(folder, tokens):
    """As `sitting`, but only to a rung."""
    state = begin(tiny.student(), PLAN, tiny.RECIPE)
    world = World.here()
    record = resume(state, folder, world)
    steps = train(
        state, tiny.batch_of, plan=PLAN, spec=tiny.SPEC, world=world, heldout_nll=norm_sum
    )
    items = recorded(steps, state, record, folder=folder, every_s=1e9, world=world)
    list(stopping(items, state, record, folder=folder, tokens=tokens, world=world))
    return state.step


@pytest.mark.parametrize("rungs", [[32], [64], [96, 128, 288], [96, 96, 64, 320]])
def test_rungs_and_then_the_rest_end_with_the_bits_of_the_whole(tmp_path, undisturbed, rungs):
    """In the warm phase, at its end, between removals, repeated, and at the last step."""
    reached = [rung(tmp_path, tokens) for tokens in rungs]
    assert reached == [max(rungs[: n + 1]) // 32 for n in range(len(rungs))]
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


def healed(folder, budget, trunk, *, stop_after=None, from_trunk=False):
    """By AdamW and warm-up–stable–decay; `trunk` is what budgets share."""
    recipe, world = replace(HEAL, budget_tokens=budget), World.here()
    state = begin(tiny.student(), CUT, recipe)
    record = resume(state, folder, world)
    if from_trunk and not record.tokens:
        most = decay_start(recipe) // recipe.batch_tokens
        record = resume(state, trunk, world, most_steps=most)
    began, spec = state.step, replace(tiny.SPEC, recipe=recipe)
    steps = train(state, tiny.batch_of, plan=CUT, spec=spec, world=world, heldout_nll=norm_sum)
    items = recorded(steps, state, record, folder=folder, every_s=0.0, world=world)
    at = decay_start(recipe)
    for item in branching(items, state, record, trunk, at_tokens=at, world=world):
        if isinstance(item, Progress) and state.step == stop_after:
            break
    return tiny.fingerprint(state.student, state.optimizer), began


@pytest.mark.parametrize("stop_at", range(1, 15))
def test_closed_between_any_two_items_a_training_loses_nothing(tmp_path, undisturbed, stop_at):
    """Also right after held-out nll was measured, which is then measured again."""
    state, record = begin(tiny.student(), PLAN, tiny.RECIPE), Record()
    steps = train(
        state, tiny.batch_of, plan=PLAN, spec=tiny.SPEC, world=World.here(), heldout_nll=norm_sum
    )
    items = recorded(steps, state, record, folder=tmp_path, every_s=1e9, world=World.here())
    for _ in range(stop_at):
        next(items)
    items.close()
    reached = state.step
    state, record = sitting(tmp_path, stop_after=reached + 1)
    assert len(record.curve) == min(reached + 1, 10)
    state, record = sitting(tmp_path)
    assert (tiny.fingerprint(state.student, state.optimizer), values(record)) == undisturbed


@pytest.mark.parametrize("steps", [1, 5, 8, 9])
def test_adamw_too_goes_on_with_the_same_bits(tmp_path, steps):
    whole, _ = healed(tmp_path / "whole", 320, tmp_path / "trunk")
    healed(tmp_path / "cut", 320, tmp_path / "other", stop_after=steps)
    assert healed(tmp_path / "cut", 320, tmp_path / "other") == (whole, steps)


def test_a_longer_budget_goes_on_where_the_shorter_one_began_to_decay(tmp_path):
    healed(tmp_path / "short", 320, tmp_path / "trunk")
    anew, _ = healed(tmp_path / "anew", 640, tmp_path / "unused")
    longer, began = healed(tmp_path / "longer", 640, tmp_path / "trunk", from_trunk=True)
    assert (longer, began) == (anew, 8)


def test_a_shorter_budget_does_not_begin_beyond_its_own_decay(tmp_path):
    healed(tmp_path / "long", 640, tmp_path / "trunk")
    _, began = healed(tmp_path / "short", 320, tmp_path / "trunk", from_trunk=True)
    assert began == 0
