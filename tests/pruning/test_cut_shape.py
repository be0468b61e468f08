"""Which student can be cut from which teacher."""

import dataclasses

import pytest

from raydistill.pruning.cut_shape import cut_refusal, is_larger
from raydistill.specs.model import ModelConfig

TEACHER = ModelConfig(family="palm", num_layers=4, dim=32, num_heads=2, vocab_size=40, context=8)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ({}, ""),
        ({"dim": 16, "num_layers": 2, "context": 4}, ""),
        ({"dim": 34}, "width 34 is more than the teacher's 32"),
        ({"num_layers": 5}, "blocks 5 is more than the teacher's 4"),
        ({"num_layers": 1}, "1 blocks: the first and the last one stay"),
        ({"context": 16}, "context 16 is more"),
        ({"vocab_size": 50}, "vocabularies of 50 and 40 ids are not one"),
        ({"num_heads": 1}, "heads are wider"),
        ({"family": "hub"}, "only models of family palm are cut in width, and one is of hub"),
    ],
)
def test_a_shape_that_cannot_be_cut_is_refused_in_one_line(shape, why):
    refusal = cut_refusal(dataclasses.replace(TEACHER, **shape), TEACHER)
    assert (why in refusal) if why else not refusal
    assert "\n" not in refusal


def test_a_model_is_larger_by_any_dimension():
    wide_and_flat = dataclasses.replace(TEACHER, dim=64, num_layers=2)
    assert is_larger(wide_and_flat, TEACHER)
    assert is_larger(TEACHER, wide_and_flat)
    assert not is_larger(TEACHER, TEACHER)
