"""Checkpoints that one number of ranks writes and another reads, whole or in shares."""

import json

import pytest

from support.ranks import outcomes

PROGRAM = """
from dataclasses import replace
from pathlib import Path
from support import tiny
from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.training.checkpoint import load_checkpoint
from raydistill.training.loop import initial_state, train
from raydistill.training.resume import with_checkpoints

folder, sharded, until, changes = Path(sys.argv[4]), sys.argv[5], int(sys.argv[6]), sys.argv[7]
here = World.here()
world = replace(here, sharded=sharded == "fully" and here.size > 1)
recipe = replace(tiny.RECIPE, micro_batches=4, **json.loads(changes))
plan = tiny.plan(1, 4, gap=64)  # after steps 2 and 4
state = initial_state(tiny.student(), plan, recipe, world)
record = load_checkpoint(folder, state, world)
items = train(
    state, tiny.batch_of, plan=plan, spec=replace(tiny.SPEC, recipe=recipe, loss="kd"), world=world,
    heldout_nll=lambda model: 0.0, teacher=replace(tiny.teacher(), recipe=recipe),
)
items = with_checkpoints(items, state, record, folder=folder, every_s=1e9, world=world)
for item in items:
    if isinstance(item, Progress) and state.step == until:
        items.close()
steps = sorted(path.name for path in folder.glob("*"))
print(json.dumps([[point.loss for point in record.curve],
                  state.student.kept, steps]))
"""
END = 10


def run(path, name, ranks, until, sharding="fully", changes=None):
    """The losses until then, and what the folder holds, as each rank has them."""
    meeting = path / f"meeting-{name}-{until}"
    return outcomes(
        PROGRAM, meeting, ranks, path / name, sharding, until, json.dumps(changes or {})
    )


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_one_rank_begins_two_go_on_and_four_end(tmp_path, optimizer):
    """Stopped between the removals, so the second one is still to come; losses as of one rank."""
    changes = {"optimizer": optimizer}
    ((expected, kept, _),) = run(tmp_path, "whole", 1, END, changes=changes)
    assert len(expected) == END
    for ranks, until in ((1, 3), (2, 6), (4, END)):
        first, *others = run(tmp_path, "resharded", ranks, until, changes=changes)
        assert first[0] == pytest.approx(expected[:until], abs=1e-6)
        assert all(other[1] == first[1] for other in others)
    assert first[1] == kept == [0, 2, 3, 5]


def test_two_that_resume_equal_two_that_were_never_stopped(tmp_path):
    """To the bit of every loss."""
    whole, _ = run(tmp_path, "whole", 2, END)
    run(tmp_path, "stopped", 2, 3)
    resumed, _ = run(tmp_path, "stopped", 2, END)
    assert resumed[0] == whole[0]


def test_shares_are_read_by_one_rank_and_the_other_way_round(tmp_path):
    mixed = {"precision": "bfloat16", "param_dtype": "bfloat16"}
    ((expected, *_),) = run(tmp_path, "whole", 1, END, changes=mixed)
    run(tmp_path, "resharded", 2, 5, changes=mixed)
    ((losses, *_),) = run(tmp_path, "resharded", 1, END, changes=mixed)
    assert losses == pytest.approx(expected, abs=0.02)
