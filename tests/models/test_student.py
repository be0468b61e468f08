"""Blocks leave; the layers that stay keep their names."""

import pytest
import torch

from raydistill.models.decoder import build
from raydistill.models.student import Student
from raydistill.specs.model import ModelConfig

CONFIG = ModelConfig(family="palm", num_layers=6, dim=16, num_heads=2, vocab_size=32, context=8)


@pytest.fixture
def student():
    return Student(build(CONFIG, 0))


def test_layers_keep_the_index_they_had_in_the_base(student):
    third = student.model.blocks[3]
    student.remove((1,))
    student.remove((2, 4))
    assert student.kept == [0, 3, 5]
    assert student.model.blocks[1] is third
    assert "blocks.3.norm.weight" in student.named_parameters()
    assert "blocks.1.norm.weight" not in student.named_parameters()


def test_removing_twice_is_removing_once(student):
    student.remove((3,))
    student.remove((3,))
    assert len(student.model.blocks) == 5


def test_a_shorter_model_is_the_base_without_those_blocks(student):
    tokens_BT = torch.arange(8)[None]
    full = build(CONFIG, 0)
    student.remove((2, 3))
    outputs = []
    with full.watching_blocks(lambda i, x, _out: outputs.append(x) if i == 2 else None):
        full(tokens_BT)
    kept = []
    with student.model.watching_blocks(lambda i, x, _out: kept.append(x) if i == 2 else None):
        student.model(tokens_BT)
    assert torch.equal(outputs[0], kept[0])


def test_frozen_layers_pass_gradients_through_but_take_none(student):
    student.freeze((2,))
    student.model(torch.arange(8)[None]).sum().backward()
    assert all(p.grad is None for p in student.model.blocks[2].parameters())
    assert student.model.blocks[1].fused_in.weight.grad.abs().sum() > 0
