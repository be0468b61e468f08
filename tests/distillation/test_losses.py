"""Losses by name: without a teacher where there is none, KL that vanishes at equality."""

from dataclasses import replace

import pytest
import torch

from raydistill.core.parts import LOSS, part_names
from raydistill.distillation.answers import WholeAnswer
from raydistill.distillation.loss import load_loss
from raydistill.distillation.teachers import no_teacher
from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan
from raydistill.training.loop import initial_state, train
from support import tiny

LOSSES = part_names(LOSS)
WITH_TEACHER = [name for name in LOSSES if name != "lm"]


def logits(seed, requires_grad=False):
    values = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(requires_grad)


def kl(logits_BTV, teacher_BTV, temperature=1.0):
    return WholeAnswer(teacher_BTV).kl(logits_BTV, TARGETS_BT, temperature)


TARGETS_BT = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(9))


def test_teacher_free_never_asks_a_teacher():
    value = load_loss("lm")(logits(0), TARGETS_BT, lambda: pytest.fail("asked"))
    chosen = logits(0).log_softmax(-1).gather(-1, TARGETS_BT[..., None])
    torch.testing.assert_close(value, -chosen.mean())


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_a_missing_teacher_is_an_error(name):
    with pytest.raises(LookupError, match="there is none"):
        load_loss(name)(logits(0), TARGETS_BT, lambda: no_teacher(tiny.batch_of(0)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_and_its_gradient_are_zero_at_equality(temperature):
    student = logits(0, requires_grad=True)
    value = kl(student, logits(0), temperature)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() < 1e-6


def test_kl_is_the_sum_over_the_vocabulary_and_the_mean_over_tokens():
    p, q = logits(1).softmax(-1), logits(0).softmax(-1)
    expected = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(kl(logits(0), logits(1)), expected)


def test_t_squared_keeps_the_size_of_the_gradient():
    norms = []
    for temperature in (8.0, 16.0):
        student = logits(0, requires_grad=True)
        kl(student, logits(1), temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


@pytest.mark.parametrize(
    ("name", "lm_weight", "kl_weight"), [("kd", 1, 1), ("minima", 0.5, 0.5), ("logits-only", 0, 1)]
)
def test_presets_weigh_the_two_terms(name, lm_weight, kl_weight):
    student, teacher = logits(0), logits(1)
    cross_entropy = load_loss("lm")(student, TARGETS_BT, lambda: WholeAnswer(teacher))
    expected = lm_weight * cross_entropy + kl_weight * kl(student, teacher)
    torch.testing.assert_close(
        load_loss(name)(student, TARGETS_BT, lambda: WholeAnswer(teacher)), expected
    )


def state_after(steps, loss, micro_batches=2, grad_clip=1.0):
    recipe = replace(tiny.RECIPE, micro_batches=micro_batches, grad_clip=grad_clip)
    state = initial_state(tiny.student(), DropPlan(), recipe)
    teacher = tiny.teacher()
    items = train(
        state, tiny.batch_of, plan=DropPlan(), spec=replace(tiny.SPEC, recipe=recipe, loss=loss),
        world=World.here(), heldout_nll=lambda _: 0.0, teacher=teacher,
    )  # fmt: skip
    for item in items:
        if isinstance(item, Progress) and state.step == steps:
            break
    return state


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_the_warm_phase_is_teacher_free_to_the_bit(name):
    """Two steps; the third uses the teacher."""
    for steps, same in ((2, True), (3, False)):
        prints = [
            tiny.fingerprint(state.student, state.optimizer)
            for state in (state_after(steps, "lm"), state_after(steps, name))
        ]
        assert (prints[0] == prints[1]) is same


def test_accumulation_gives_kds_gradient_of_the_whole_batch():
    """The momentum of equal weights after the warm phase, whatever the micro-batches."""
    momenta = []
    for micro_batches in (1, 2, 4):
        recipe = replace(
            tiny.RECIPE, micro_batches=micro_batches, grad_clip=1e9, warm_phase_tokens=0
        )
        state = initial_state(tiny.student(), DropPlan(), recipe)
        teacher = tiny.teacher()
        items = train(
            state, tiny.batch_of, plan=DropPlan(),
            spec=replace(tiny.SPEC, recipe=recipe, loss="kd"), world=World.here(),
            heldout_nll=lambda _: 0.0, teacher=teacher,
        )  # fmt: skip
        next(item for item in items if isinstance(item, Progress))
        momenta.append(state.optimizer.momentum(state.student.model.embedding.weight).clone())
    torch.testing.assert_close(momenta[0], momenta[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(momenta[0], momenta[2], rtol=1e-5, atol=1e-8)
