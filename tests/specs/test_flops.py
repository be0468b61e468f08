"""Parameters and FLOPs: the paper's numbers, and what torch counts."""

import pytest
import torch
import torch.nn.functional as F

from raydistill.core.units import B
from raydistill.models.decoder import build
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.student import Student
from raydistill.specs.drop_plan import plan_drops
from raydistill.specs.flops import (
    equal_flops_share,
    exact_flops,
    forward_flops_per_token,
    gap_cost_tokens,
    paper_flops,
    parameters,
    training_flops_per_token,
)
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import DropPlan, Recipe
from support.flops import count
from support.hub_models import FAMILIES, save_model

TINY = ModelConfig(family="palm", num_layers=5, dim=24, num_heads=2, vocab_size=40, context=6)
OF_WIDTHS = FactorisedConfig(
    family="post-norm", num_layers=5, dim=24, num_heads=2, vocab_size=40, context=6,
    embedding=10, feed_forward=30,
)  # fmt: skip
OURS = pytest.mark.parametrize("model", [TINY, OF_WIDTHS], ids=lambda model: model.family)
RECIPE = Recipe(
    peak_lr=1.0,
    budget_tokens=20 * B,
    batch_tokens=2_000_000,
    micro_batches=1,
    warmup_tokens=8 * B,
    warm_phase_tokens=1 * B,
)


@pytest.mark.parametrize(
    ("scale", "removed", "expected"),
    [
        ("paper_300m", 0, 303_515_648),
        ("paper_300m", 12, 177_514_496),
        ("paper_1b", 0, 1_110_347_776),
        ("paper_1b", 12, 606_687_232),
    ],
)
def test_the_papers_models_have_their_parameters(scale, removed, expected):
    assert parameters(load_scale(scale).model, removed) == expected


@OURS
@pytest.mark.parametrize("removed", [0, 2])
def test_parameters_are_those_of_the_model(model, removed):
    student = Student(build(model, seed=0))
    student.remove(range(1, 1 + removed))
    assert parameters(model, removed) == sum(p.numel() for p in student.model.parameters())


@pytest.mark.parametrize(
    ("scale", "ours", "kd", "ratio"),
    [("paper_300m", 21.3e18, 33.44e18, 1.57), ("paper_1b", 72.8e18, 117.2e18, 1.61)],
)
def test_the_papers_rule_gives_table_4(scale, ours, kd, ratio):
    model = load_scale(scale).model
    plan = plan_drops(range(1, 13), recipe=RECIPE)
    student = paper_flops(model, plan, RECIPE)
    both = paper_flops(model, plan, RECIPE, [model])
    assert student == pytest.approx(ours, rel=5e-4)
    assert both == pytest.approx(kd, rel=5e-4)
    assert both / student == pytest.approx(ratio, abs=0.005)


def test_a_teacher_of_another_size_costs_by_its_own():
    student, teacher = (load_scale(name).model for name in ("paper_300m", "paper_1b"))
    plan = plan_drops(range(1, 13), recipe=RECIPE)
    alone = paper_flops(student, plan, RECIPE)
    assert paper_flops(student, plan, RECIPE, [teacher]) - alone == 2 * 1_110_347_776 * 20 * B
    teacher_cost = exact_flops(student, plan, RECIPE, [teacher]) - exact_flops(
        student, plan, RECIPE
    )
    assert teacher_cost == forward_flops_per_token(teacher) * 20 * B


@OURS
@pytest.mark.parametrize("frozen", [(), (1, 3), (0, 1, 2, 3, 4)])
def test_torch_counts_the_same_for_a_training_step(model, frozen):
    student = Student(build(model, seed=0))
    student.freeze(frozen)
    ids = torch.randint(model.vocab_size, (3, model.context + 1))

    def step():
        logits_BTV = student.model(ids[:, :-1])
        F.cross_entropy(logits_BTV.flatten(0, 1), ids[:, 1:].flatten()).backward()

    expected = training_flops_per_token(
        model, learning=model.num_layers - len(frozen), frozen=len(frozen)
    )
    assert count(step) == expected * 3 * model.context


@OURS
def test_torch_counts_the_same_for_a_teacher(model):
    decoder = build(model, seed=0)
    ids = torch.randint(model.vocab_size, (3, model.context))
    with torch.no_grad():
        assert count(lambda: decoder(ids)) == forward_flops_per_token(model) * 3 * model.context


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_torch_counts_the_same_for_a_model_from_elsewhere(name, tmp_path):
    """As it is, with a frozen block, and as a teacher."""
    save_model(tmp_path, name)
    decoder = load_pretrained(read_checkpoint(str(tmp_path), "main"))
    model, student = decoder.config, Student(decoder)
    ids = torch.randint(1, model.vocab_size, (2, model.context + 1))
    tokens = 2 * model.context

    def step():
        logits_BTV = decoder(ids[:, :-1])
        F.cross_entropy(logits_BTV.flatten(0, 1), ids[:, 1:].flatten()).backward()

    learning = training_flops_per_token(model, learning=model.num_layers, frozen=0)
    assert count(step) == learning * tokens
    student.freeze((2,))
    frozen = training_flops_per_token(model, learning=model.num_layers - 1, frozen=1)
    assert count(step) == frozen * tokens
    with torch.no_grad():
        assert count(lambda: decoder(ids[:, :-1])) == forward_flops_per_token(model) * tokens


def test_a_layer_costs_until_it_leaves_and_learns_nothing():
    recipe = Recipe(
        peak_lr=1.0,
        budget_tokens=100,
        batch_tokens=10,
        micro_batches=1,
        warmup_tokens=10,
        warm_phase_tokens=20,
    )
    plan = plan_drops((1, 2), recipe=recipe, gap_tokens=30)

    def step(learning, frozen):
        return training_flops_per_token(TINY, learning=learning, frozen=frozen)

    assert exact_flops(TINY, plan, recipe) == 20 * step(3, 2) + 30 * step(3, 1) + 70 * step(3, 0)
    assert exact_flops(TINY, DropPlan(), recipe) == 120 * step(5, 0)


def test_equal_flops_are_those_of_table_4():
    """KD of the 300M costs 1.57 times as much a token, of the 1.1B 1.61 times."""
    for name, ratio in (("paper_300m", 1.57), ("paper_1b", 1.61)):
        model = load_scale(name).model
        assert 1 / equal_flops_share(model, 12, model) == pytest.approx(ratio, abs=0.005)
    small, large = (load_scale(name).model for name in ("paper_300m", "paper_1b"))
    student, teacher = 177_514_496, 1_110_347_776
    share = 6 * student / (6 * student + 2 * teacher)
    assert equal_flops_share(small, 12, large) == pytest.approx(share)


def test_gaps_cost_what_the_plans_with_them_cost_more():
    recipe = Recipe(
        peak_lr=1.0, budget_tokens=100, batch_tokens=10, micro_batches=1, warmup_tokens=0
    )
    at_once, waiting = (plan_drops((1, 2, 3), recipe=recipe, gap_tokens=gap) for gap in (0, 20))
    more = exact_flops(TINY, waiting, recipe) - exact_flops(TINY, at_once, recipe)
    student = training_flops_per_token(TINY, learning=2, frozen=0)
    assert gap_cost_tokens(TINY, 3, 20) == pytest.approx(more / student)
    assert gap_cost_tokens(TINY, 1, 20) == 0


def test_a_frozen_block_costs_four_flops_a_parameter_and_not_six():
    wide = ModelConfig(family="palm", num_layers=1, dim=4096, num_heads=8, vocab_size=1, context=1)
    learning = training_flops_per_token(wide, learning=1, frozen=0)
    frozen = training_flops_per_token(wide, learning=0, frozen=1)
    assert frozen / learning == pytest.approx(4 / 6, rel=1e-3)
