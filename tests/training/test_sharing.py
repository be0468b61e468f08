"""Whether a trial on several devices shares its student out: as it is told, or by arithmetic."""

import json

import pytest

from support.ranks import outcomes

PROGRAM = """
from dataclasses import replace
from support import tiny
from raydistill.models.distributed import World
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.trial import DropPlan, ExternalBase, TrialSpec
from raydistill.training.devices import sharing
from raydistill.training.jobs import TrialJob


def is_sharded(sharding, model, loss, changes):
    train = replace(tiny.SPEC, loss=loss, recipe=replace(tiny.RECIPE, **changes))
    base = ExternalBase(name="", revision="", weights_sha256="")
    job = TrialJob(
        spec=TrialSpec(base=base, plan=DropPlan(), train=train), base_sha256="", sweep="",
        evaluation=EvalSpec(tasks=(), heldout_windows=4, curve_windows=2), storage="",
        sharding=sharding,
    )
    large = {"num_layers": 96, "dim": 16384, "num_heads": 64}
    shape = replace(tiny.CONFIG, **(large if model == "large" else {}))
    return sharing(job, shape, (), World.here()).sharded


print(json.dumps([is_sharded(*case) for case in json.loads(sys.argv[4])]))
"""
HALF = {"precision": "bfloat16", "param_dtype": "bfloat16"}
CASES = {  # sharding, model, loss, changes of the recipe → whether two ranks share it out
    ("fully", "small", "lm", ""): True,
    ("none", "large", "lm", ""): False,
    ("auto", "small", "lm", ""): False,
    ("auto", "large", "lm", ""): True,  # 300e9 parameters, on any machine
    ("auto", "large", "kd+attention=1", ""): False,
    ("auto", "small", "lm", "half"): True,
}


@pytest.mark.parametrize("ranks", [1, 2])
def test_it_is_as_told_or_where_a_copy_on_each_does_not_fit(tmp_path, ranks):
    cases = [(*case[:3], HALF if case[3] else {}) for case in CASES]
    found = outcomes(PROGRAM, tmp_path / "meeting", ranks, json.dumps(cases))
    assert found == [[ranks > 1 and wanted for wanted in CASES.values()]] * ranks
