"""Steps on conversations: the loss is the mean over what the assistant says, in any parts."""

from dataclasses import replace

import pytest
import torch

from raydistill.core.errors import UsageError
from raydistill.distillation.answers import SparseAnswer
from raydistill.distillation.divergence import NO_TARGET
from raydistill.distillation.excerpt import load_form
from raydistill.distillation.loss import load_view
from raydistill.models.distributed import World
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan
from raydistill.training.loop import initial_state, train
from support import tiny

RECIPE = replace(tiny.RECIPE, warm_phase_tokens=0, warmup_tokens=0, grad_clip=1e9)
LOSSES = (
    "kd", "kd+attention=0.5+embedding=0.5+hidden=0.5", "kd+temperature=2", "lm", "logits-only",
    "minima",
)  # fmt: skip


def first_step(loss, batch, micro_batches, teacher=None):
    """The loss of a step, and the momentum that it leaves: a share of its gradient."""
    student, recipe = tiny.student(), replace(RECIPE, micro_batches=micro_batches)
    state = initial_state(student, DropPlan(), recipe)
    items = train(
        state, lambda _: batch, plan=DropPlan(), spec=replace(tiny.SPEC, recipe=recipe, loss=loss),
        world=World.here(), heldout_nll=lambda _: 0.0, teacher=teacher or tiny.teacher(),
    )  # fmt: skip
    value = next(item.loss for item in items if isinstance(item, Progress))
    return value, state.optimizer.momentum(student.model.embedding.weight).clone()


def written(batch):
    """The answer of a cached teacher, which keeps some ids of each token."""
    form = load_form("top-k-tail")
    logits = tiny.teacher().logits(batch.ids[:, :-1]).flatten(0, 1)
    excerpt = form.take(logits.log_softmax(-1), 6, torch.Generator().manual_seed(0))
    return SparseAnswer(form.known(excerpt, 6), tiny.CONFIG.vocab_size)


@pytest.mark.parametrize("loss", LOSSES)
def test_four_micro_batches_are_one(loss):
    """The four windows have unequally much to learn, the last nothing at all."""
    batch = tiny.chat_batch_of(0)
    counts = [part.num_targets for part in batch.micro_batches(4)]
    assert len(set(counts)) == 4
    assert counts[3] == 0
    whole, gradient = first_step(loss, batch, 1)
    for parts in (2, 4):
        value, parted = first_step(loss, batch, parts)
        assert value == pytest.approx(whole, rel=1e-5)
        torch.testing.assert_close(parted, gradient, rtol=1e-4, atol=1e-7)


def test_four_micro_batches_are_one_with_a_cached_teacher():
    batch = tiny.chat_batch_of(0)
    whole, gradient = first_step("kd", batch, 1, written)
    value, parted = first_step("kd", batch, 4, written)
    assert value == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(parted, gradient, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_mean_over_what_is_learned():
    batch, model = tiny.chat_batch_of(0), tiny.student().model
    with torch.no_grad():
        log_p = model(batch.ids[:, :-1]).double().log_softmax(-1)
    nats = -log_p.gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
    value, _ = first_step("lm", batch, 4)
    assert value == pytest.approx(nats[batch.learned[:, 1:]].mean().item(), rel=1e-5)
    assert value != pytest.approx(nats.mean().item(), rel=2e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_where_all_is_learned_it_is_plain_text(loss):
    plain = tiny.batch_of(0)
    marked = replace(plain, learned=torch.ones_like(plain.ids, dtype=torch.bool))
    (value, gradient), (own, of_marked) = (first_step(loss, b, 2) for b in (plain, marked))
    assert own == pytest.approx(value, rel=1e-6)
    torch.testing.assert_close(of_marked, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_learned_changes_nothing(loss):
    """Other tokens behind all that is learned leave the loss."""
    batch = tiny.chat_batch_of(0)
    learned = batch.learned.clone()
    learned[:, 6:] = False
    batch = replace(batch, learned=learned)
    ids = batch.ids.clone()
    ids[:, 7:] = (ids[:, 7:] + 1) % tiny.CONFIG.vocab_size
    assert first_step(loss, batch, 2)[0] == first_step(loss, replace(batch, ids=ids), 2)[0]


def test_a_step_without_anything_to_learn_is_no_error():
    batch = tiny.chat_batch_of(0)
    nothing = replace(batch, learned=torch.zeros_like(batch.learned))
    value, gradient = first_step("kd", nothing, 2)
    assert value == 0
    assert gradient.abs().max() == 0


def test_targets_are_none_where_the_assistant_says_nothing():
    batch = tiny.chat_batch_of(0)
    targets = load_view("lm")(batch).targets
    assert torch.equal(targets == NO_TARGET, ~batch.learned[:, 1:])
    assert torch.equal(targets[targets != NO_TARGET], batch.ids[:, 1:][batch.learned[:, 1:]])


def test_a_loss_with_targets_of_its_own_does_not_learn_conversations():
    with pytest.raises(UsageError, match="loss 'masked-lm' has targets of its own"):
        load_view("masked-lm")(tiny.chat_batch_of(0))
