"""Losses by name: without a teacher where there is none, KL that vanishes at equality."""

from dataclasses import replace

import pytest
import torch

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import LOSS, part_names
from raydistill.distillation.answers import SparseAnswer, WholeAnswer, token_mean
from raydistill.distillation.excerpt import load_form
from raydistill.distillation.loss import load_loss
from raydistill.distillation.loss_name import has_teacher
from raydistill.distillation.teachers import no_teacher
from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan
from raydistill.training.loop import initial_state, train
from support import tiny

LOSSES = part_names(LOSS)
WITH_TEACHER = [name for name in LOSSES if has_teacher(name)]


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


ANSWERS = {
    "whole": lambda: WholeAnswer(logits(1)),
    "cached": lambda: sparse_answer(logits(1), size=4),
}


def sparse_answer(teacher_BTV, size, temperature=1.0):
    log_p_NV = (teacher_BTV / temperature).log_softmax(-1).flatten(0, 1)
    excerpt = load_form("top-k-tail").take(log_p_NV, size, torch.Generator())
    known = load_form("top-k-tail").known(excerpt, size)
    return SparseAnswer(known, teacher_BTV.shape[-1], temperature)


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_known_ids_give_the_kl_of_either_answer_and_its_gradient(answer):
    """As a loss of one's own would write it."""
    student, again = logits(0, requires_grad=True), logits(0, requires_grad=True)
    known = ANSWERS[answer]().log_probs(student)
    rest = (1 - (known.student.exp() * (known.weights > 0)).sum(-1)).clamp_min(1e-7)
    of_tail = torch.xlogy(known.tail, known.tail) - known.tail * rest.log()
    nats_BT = (known.weights * (known.teacher - known.student)).sum(-1) + of_tail
    value = token_mean(nats_BT, TARGETS_BT)
    value.backward()
    expected = ANSWERS[answer]().kl(again, TARGETS_BT)
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(student.grad, again.grad, atol=1e-6, rtol=1e-4)


def test_all_log_probs_are_over_the_ids_that_both_share():
    padded = torch.cat([logits(1), torch.full((2, 5, 3), 7.0)], dim=-1)
    teacher, student = WholeAnswer(padded).all_log_probs(logits(0), temperature=2)
    torch.testing.assert_close(teacher, (logits(1) / 2).log_softmax(-1))
    torch.testing.assert_close(student, (logits(0) / 2).log_softmax(-1))


def test_a_mean_over_tokens_is_over_those_with_a_target():
    values = torch.tensor([[1.0, 2.0, float("nan")], [4.0, 5.0, 6.0]])
    targets = torch.tensor([[3, 0, -100], [-100, 7, -100]])
    assert token_mean(values, targets) == pytest.approx((1 + 2 + 5) / 3)
    assert token_mean(values, torch.full((2, 3), -100)) == 0


ALL = """
{head}
def loss(logits_BTV, targets_BT, ask, *, temperature=1.0):
    teacher, student = ask().all_log_probs(logits_BTV, temperature)
    return (teacher - student).abs().mean()
"""


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_loss_that_does_not_say_so_is_not_given_the_whole_distribution(own_parts, answer):
    """Not of a teacher on its device either: else the same loss would fail with a cached one."""
    own_parts({"losses/far.py": ALL.format(head="")})
    with pytest.raises(ValueError, match="its file must say TEACHER = 'whole'"):
        load_loss("far")(logits(0), TARGETS_BT, ANSWERS[answer])


def test_a_loss_that_says_so_is(own_parts):
    own_parts({"losses/farther.py": ALL.format(head='TEACHER = "whole"')})
    loss = load_loss("farther+temperature=2")
    assert loss(logits(1), TARGETS_BT, ANSWERS["whole"]) == 0
    assert loss(logits(0), TARGETS_BT, ANSWERS["whole"]) > 0
    with pytest.raises(ValueError, match="a cached teacher keeps some ids"):
        loss(logits(0), TARGETS_BT, ANSWERS["cached"])


def test_a_temperature_that_is_no_setting_is_refused_wherever_the_teacher_is(own_parts):
    text = "def loss(logits_BTV, targets_BT, ask): return ask().kl(logits_BTV, targets_BT, 2.0)"
    own_parts({"losses/warm.py": text})
    with pytest.raises(ValueError, match="asks for temperature 2, and its setting"):
        load_loss("warm")(logits(0), TARGETS_BT, ANSWERS["whole"])


def test_a_loss_without_a_teacher_that_asks_one_is_an_error(own_parts):
    text = 'TEACHER = "none"\ndef loss(a, b, ask): return ask().kl(a, b)'
    own_parts({"losses/alone.py": text})
    with pytest.raises(LookupError, match="asked for a teacher"):
        load_loss("alone")(logits(0), TARGETS_BT, lambda: no_teacher(tiny.batch_of(0)))


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ("1.0", "a float"),
        ("None", "a NoneType"),
        ("logits_BTV.logsumexp(-1)", "a tensor [2, 5]"),
        ("logits_BTV.detach().mean()", "a number without a gradient"),
        ("logits_BTV.double().mean()", "a number of torch.float64"),
    ],
)
def test_a_loss_that_gives_no_number_with_a_gradient_is_named(own_parts, body, given):
    own_parts({"losses/odd.py": f"def loss(logits_BTV, targets_BT, ask): return {body}"})
    with pytest.raises(OwnCodeError) as refused:
        load_loss("odd")(logits(0, requires_grad=True), TARGETS_BT, pytest.fail)
    expected = f"gave {given}: it must be a scalar float32 tensor with a gradient"
    assert str(refused.value) == f"loss 'odd' (losses/odd.py) {expected}"
