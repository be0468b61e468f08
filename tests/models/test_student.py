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


def test_every_layer_is_there_at_first(student):
    assert student.kept == [0, 1, 2, 3, 4, 5]


def test_a_layer_is_frozen_by_its_index_in_the_base(student):
    second, third = student.model.blocks[2:4]
    student.remove((0,))
    student.freeze((0, 2))
    assert not any(p.requires_grad for p in second.parameters())
    assert all(p.requires_grad for p in third.parameters())


def test_values_are_read_in_by_the_names_of_the_base():
    """What is left of one model fits another that lost the same layers."""
    source, target = Student(build(CONFIG, 0)), Student(build(CONFIG, 1))
    source.remove((1, 4))
    target.remove((1, 4))
    tokens_BT = torch.arange(8)[None]
    assert not torch.equal(source.model(tokens_BT), target.model(tokens_BT))
    values = {name: p.detach() for name, p in source.named_parameters().items()}
    target.load(values)
    assert torch.equal(source.model(tokens_BT), target.model(tokens_BT))
    with pytest.raises(KeyError, match=r"blocks\.5\."):
        target.load({name: p for name, p in values.items() if not name.startswith("blocks.5.")})
