"""Two ranks train to the bits of one process that accumulates the same two micro-batches.

With KD, whose warm phase is teacher-free, so both losses are covered; and with masked tokens, whose
logits alone pass through the ranks' wrapping; and with conversations, of which the ranks have
unequally much to learn. The two ranks share one sharded teacher;
test_two_devices.py has a copy on each. What is removed leaves the memory of both.
"""

import json

import pytest

from support.ranks import outcomes

PROGRAM = """
from dataclasses import replace
from support import tiny
from raydistill.training.loop import initial_state, train
from raydistill.models.distributed import World

world = World.here()
plan = tiny.plan(1, 4, gap=64)


def run(named):
    loss, _, form = named.partition("/")
    teacher = replace(tiny.teacher(), sharded=True)
    state = initial_state(tiny.student(), plan, tiny.RECIPE)
    curve = [
        getattr(item, "loss", None)
        for item in train(
            state, tiny.chat_batch_of if form == "chat" else tiny.batch_of, plan=plan,
            spec=replace(tiny.SPEC, loss=loss), world=world, heldout_nll=lambda model: 0.0,
            teacher=teacher,
        )
    ]
    return world.rank, world.size, curve, tiny.fingerprint(state.student, state.optimizer)


print(json.dumps([run(named) for named in json.loads(sys.argv[4])]))
"""
LOSSES = ["kd", "masked-lm+share=0.3", "kd/chat"]

REMOVES = """
import gc, weakref
import torch
from support import tiny
from raydistill.models.distributed import World
from raydistill.models.sharding import release

student = tiny.student()
student.freeze([1])
model = World.here().wrap(student.model)
ids = torch.ones(2, 8, dtype=torch.long)
model(ids).sum().backward()
weights = [weakref.ref(p) for p in student.model.blocks[1].parameters()]
before = [p() is not None for p in weights]
release(student.model, student.remove([1]))
model(ids).sum().backward()
gc.collect()
print(json.dumps([before, [p() is not None for p in weights]]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Of each loss, what one process comes to and what each of two ranks does."""
    path = tmp_path_factory.mktemp("ranks") / "meeting"
    (alone,), (first, second) = (outcomes(PROGRAM, path, n, json.dumps(LOSSES)) for n in (1, 2))
    return {loss: of for loss, *of in zip(LOSSES, alone, first, second, strict=True)}


@pytest.mark.parametrize("loss", LOSSES)
def test_two_ranks_equal_one_process_bit_for_bit_across_removals(trained, loss):
    alone, first, second = trained[loss]
    assert (first[:2], second[:2]) == ([0, 2], [1, 2])
    assert first[2:] == alone[2:]
    assert second[2:] == alone[2:]


def test_weights_of_a_removed_block_leave_memory_while_ranks_train_on(tmp_path):
    for before, after in outcomes(REMOVES, tmp_path / "meeting", 2):
        assert before
        assert all(before)
        assert not any(after)
