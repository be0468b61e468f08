"""Feature losses: 0 at equality, and every block is compared with the layer that it was."""

from dataclasses import replace

import pytest
import torch

from raydistill.distillation.feature_losses import attention_kl, feature_loss, watch_features
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, LayerDrop
from raydistill.training.loop import initial_state, train
from support import tiny

TERMS = ("hidden", "embedding", "attention")
TOKENS_BT = tiny.batch_of(0).ids[:, :-1]


def loss_of(student, teacher, **weights):
    with watch_features(student.model) as of_student, watch_features(teacher) as of_teacher:
        student.model(TOKENS_BT)
        with torch.no_grad():
            teacher(TOKENS_BT)
    return feature_loss(weights, student, teacher, of_student, of_teacher)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_and_its_gradient_are_zero_at_equality(term):
    student = tiny.student()
    value = loss_of(student, build(tiny.CONFIG, 0), **{term: 1.0})
    value.backward()
    gradients = [p.grad.abs().max() for p in student.model.parameters() if p.grad is not None]
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert max(gradients) < 1e-6


@pytest.mark.parametrize("term", ["hidden", "attention"])
def test_every_block_is_compared_with_the_layer_that_it_was(term):
    """Blocks before the removed one see what they saw; those after it do not."""
    late, early = Student(build(tiny.CONFIG, 0)), Student(build(tiny.CONFIG, 0))
    late.remove((4,))
    early.remove((1,))
    teacher = build(tiny.CONFIG, 0)
    losses = [loss_of(student, teacher, **{term: 1.0}).item() for student in (late, early)]
    assert 0 < losses[0] < losses[1]
    swapped = Student(build(tiny.CONFIG, 0))
    swapped.remove((1,))
    swapped.kept = [0, 1, 2, 3, 4]  # as if block 1 were the teacher's block 1
    assert loss_of(swapped, teacher, **{term: 1.0}).item() != pytest.approx(losses[1])


@pytest.mark.parametrize("term", TERMS)
def test_a_step_down_its_gradient_lowers_a_term(term):
    student, teacher = tiny.student(), build(tiny.CONFIG, 5)
    before = loss_of(student, teacher, **{term: 1.0})
    before.backward()
    with torch.no_grad():
        for p in student.model.parameters():
            if p.grad is not None:
                p -= 1e-3 * p.grad.sign()
    assert loss_of(student, teacher, **{term: 1.0}) < before


def test_the_loss_is_the_weighted_sum_of_its_terms():
    student, teacher = tiny.student(), build(tiny.CONFIG, 5)
    hidden, embedding, attention = (loss_of(student, teacher, **{term: 1.0}) for term in TERMS)
    together = loss_of(student, teacher, hidden=0.5, embedding=0.25, attention=1.0)
    torch.testing.assert_close(together, 0.5 * hidden + 0.25 * embedding + attention)


def test_attention_is_the_softmax_that_the_block_takes():
    """The slow and obvious reference: the values averaged by these weights are what SDPA gives."""
    model = build(tiny.CONFIG, 0)
    with watch_features(model) as features:
        model(TOKENS_BT)
    block, x_BTD = model.blocks[2], features.inputs[2]
    weights_BHTT = model.attention(2, x_BTD).exp().tril()
    torch.testing.assert_close(weights_BHTT.sum(-1), torch.ones(4, 2, 8))
    *_, value, gate, up = block.fused_in(block.norm(x_BTD)).split(block.split, dim=-1)
    mixed = torch.einsum("bhts,bshk->bthk", weights_BHTT, value.view(4, 8, 2, 8)).flatten(2)
    swiglu = torch.nn.functional.silu(gate) * up
    expected = x_BTD + block.fused_out(torch.cat([mixed, swiglu], dim=-1))
    torch.testing.assert_close(features.outputs[2], expected)


def test_attention_kl_does_not_depend_on_future_positions():
    log_p = torch.zeros(1, 1, 3, 3)
    log_q = torch.full((1, 1, 3, 3), 5.0).triu(1)
    assert attention_kl(log_q, log_p).item() == 0


def test_the_loop_trains_with_every_term_through_a_removal():
    plan = DropPlan(drops=(LayerDrop(at_tokens=64, layer=2),))
    loss = "kd+attention=0.5+embedding=0.5+hidden=0.5"
    spec = replace(tiny.SPEC, loss=loss)
    state = initial_state(tiny.student(), plan, tiny.RECIPE)
    items = train(
        state, tiny.batch_of, plan=plan, spec=spec, world=World.here(),
        heldout_nll=lambda _: 0.0, teacher=tiny.teacher(),
    )  # fmt: skip
    losses = [item.loss for item in items if isinstance(item, Progress)]
    assert len(losses) == tiny.RECIPE.total_steps
    assert losses[2] > losses[1]  # the warm phase is the LM loss alone
