"""Flags of training where every cell is a base as it is, and ages of no size, are refused."""

import pytest

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.planning.sweep import Sweep


def planned(*flags, count=0, share=0.0):
    def trial(scale, size, age):
        del size
        if age not in scale.ages:
            return None
        location = "input" if count else "none"
        return scale.trial(age=age, location=location, count=count, share=share)

    axes = {"size": ("smoke", "smoke+tokens=640B"), "age": (160 * B, 320 * B, 640 * B)}
    sweep = Sweep(name="mine", question="?", axes=axes, trial=trial)
    return plan_of(sweep, sweep_parser(sweep).read(["--scale", "smoke", *flags]), "python x.py")


@pytest.mark.parametrize("flag", ["--loss kd", "--set lr=0.1", "--budget 5B"])
def test_training_flags_are_refused_where_only_bases_are_measured(flag):
    with pytest.raises(UsageError) as caught:
        planned(*flag.split())
    assert str(caught.value) == (
        f"{flag.split()[0]} is of training after a base's pretraining, and every cell here is a "
        "base as it is: leave it out. How bases are pretrained, --size says: smoke+lr=0.002, "
        "smoke+schedule=cosine, smoke+tokens=N"
    )


def test_they_are_heeded_where_something_is_trained():
    plan = planned("--loss", "kd", "--budget", "5B", "--size", "smoke", count=1, share=1.0)
    assert {(cell.request.loss, cell.request.budget) for cell in plan.cells} == {("kd", 5 * B)}


def test_an_age_that_no_size_has_is_refused_also_beside_one_that_some_have():
    ages = "80B, 320B, 640B"
    for given in ("9B", "640B,9B"):
        with pytest.raises(UsageError, match=rf"^no age 9B: scale 'smoke\+tokens=640B' has {ages}"):
            planned("--size", "smoke,smoke+tokens=640B", "--age", given)
    with pytest.raises(UsageError, match=r"^no age 640B: scale 'smoke' has .*its run ends at 320B"):
        planned("--size", "smoke", "--age", "640B")


def test_an_age_that_one_size_has_is_planned_there():
    plan = planned("--age", "640B")
    assert [(cell.scale.name, cell.request.age) for cell in plan.cells] == [
        ("smoke+tokens=640B", 640 * B)
    ]
