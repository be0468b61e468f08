"""Two ranks train to the bits of one process that accumulates the same two micro-batches.

With KD, whose warm phase is teacher-free, so both losses are covered; and with masked tokens, whose
logits alone pass through the ranks' wrapping; and with conversations, of which the ranks have
unequally much to learn. The two ranks share one sharded teacher;
test_two_devices.py has a copy on each. What is removed leaves the memory of both.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ranks

HERE = Path(__file__).parents[1]
PATH = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
PROGRAM = """
import json, sys
import torch.distributed as dist
from support import tiny
from dataclasses import replace
from raydistill.models.decoder import build
from raydistill.training.loop import initial_state, train
from raydistill.models.distributed import World

world = World.here()
plan = tiny.plan(1, 4, gap=64)
loss, _, form = sys.argv[-1].partition("/")
batch_of = tiny.chat_batch_of if form == "chat" else tiny.batch_of
teacher = replace(tiny.teacher(), sharded=True)
state = initial_state(tiny.student(), plan, tiny.RECIPE)
curve = [
    getattr(item, "loss", None)
    for item in train(
        state, batch_of, plan=plan, spec=replace(tiny.SPEC, loss=loss), world=world,
        heldout_nll=lambda model: 0.0, teacher=teacher,
    )
]
print(json.dumps([world.rank, world.size, curve, tiny.fingerprint(state.student, state.optimizer)]))
"""
JOIN = """
import torch.distributed as dist
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]),
                        world_size=2)
"""

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


def start(*arguments, joins=False):
    imports, marker, rest = PROGRAM.partition("from support import tiny")
    code = imports + (JOIN if joins else "") + marker + rest
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": PATH, "PATH": ""},
    )  # fmt: skip


@pytest.fixture(scope="module", params=["kd", "masked-lm+share=0.3", "kd/chat"])
def outcomes(request, tmp_path_factory):
    meeting, loss = tmp_path_factory.mktemp("gloo") / "meeting", request.param
    runs = [start(loss), *(start(meeting, rank, loss, joins=True) for rank in (0, 1))]
    return [json.loads(run.communicate(timeout=120)[0]) for run in runs]


def test_two_ranks_equal_one_process_bit_for_bit_across_removals(outcomes):
    alone, first, second = outcomes
    assert (first[:2], second[:2]) == ([0, 2], [1, 2])
    assert first[2:] == alone[2:]
    assert second[2:] == alone[2:]


def test_weights_of_a_removed_block_leave_memory_while_ranks_train_on(tmp_path):
    for before, after in ranks.outcomes(REMOVES, tmp_path / "meeting", 2):
        assert before
        assert all(before)
        assert not any(after)
