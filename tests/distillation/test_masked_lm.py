"""Masked language modelling in the loop: what is hidden, what is learned from, the same bits."""

import math
from dataclasses import replace

import pytest
import torch

from raydistill.core.errors import OwnCodeError, UsageError
from raydistill.data.batches import Batch
from raydistill.distillation.loss import View, load_loss, load_view, next_tokens
from raydistill.distillation.teachers import no_teacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan
from raydistill.training.loop import Objective, initial_state, train
from support import tiny

CPU = torch.device("cpu")
WINDOWS = 24
BATCH = Batch(
    tuple(range(WINDOWS)),
    torch.randint(1, 32, (WINDOWS, 33), generator=torch.Generator().manual_seed(0)),
    7, (0,) * WINDOWS, 0,
)  # fmt: skip


def view_of(batch, loss="masked-lm"):
    return load_view(loss)(batch)


def test_no_target_is_visible_and_all_else_is_as_it_was():
    view = view_of(BATCH)
    assert view.at.shape == view.targets.shape == (WINDOWS, 5)  # round(0.15 * 32)
    assert (view.inputs.gather(1, view.at) == BATCH.end_of_text_id).all()
    assert (view.inputs.gather(1, view.at) != view.targets).all()
    assert view.inputs.scatter(1, view.at, view.targets).equal(BATCH.ids[:, :-1])
    assert view_of(BATCH, "masked-lm+share=1").at.shape == (WINDOWS, 32)


def test_each_epoch_hides_others_and_the_order_of_windows_does_not_matter():
    first, second = view_of(BATCH), view_of(replace(BATCH, epochs=(1,) * WINDOWS))
    assert not first.at.equal(second.at)
    assert not first.at.equal(view_of(replace(BATCH, seed=8)).at)
    parts = [view_of(part) for part in BATCH.micro_batches(4)]
    assert torch.cat([part.at for part in parts]).equal(first.at)
    order = list(reversed(range(WINDOWS)))
    back = replace(BATCH, numbers=tuple(order), ids=BATCH.ids[order])
    assert view_of(back).at.equal(first.at[order])


def test_a_share_that_hides_nothing_is_refused():
    with pytest.raises(UsageError, match=r"share=0\.01: of 32 tokens a window it hides none"):
        view_of(BATCH, "masked-lm+share=0.01")


def test_uniform_logits_give_the_logarithm_of_the_vocabulary():
    view = view_of(BATCH)
    value = load_loss("masked-lm")(torch.zeros(*view.at.shape, 32), view.targets, pytest.fail)
    assert value.item() == pytest.approx(math.log(32), rel=1e-6)


def test_logits_at_some_positions_are_those_of_all():
    model, view = build(tiny.CONFIG, 0), view_of(tiny.batch_of(0), "masked-lm+share=0.5")
    every_BTV = model(view.inputs)
    chosen_BMV = every_BTV.gather(1, view.at[..., None].expand(-1, -1, tiny.CONFIG.vocab_size))
    torch.testing.assert_close(model(view.inputs, view.at), chosen_BMV)


def test_the_head_reads_hidden_positions_alone_and_no_other_gets_a_gradient():
    student, seen = tiny.student(), []
    batch, head = tiny.batch_of(0), student.model.head

    def watched(hidden_D):
        seen.append(hidden_D)
        return head(hidden_D)

    hidden = student.model.hidden

    def kept(tokens_BT):
        hidden_BTD = hidden(tokens_BT)
        hidden_BTD.retain_grad()
        seen.append(hidden_BTD)
        return hidden_BTD

    student.model.head, student.model.hidden = watched, kept
    objective = Objective.of("masked-lm+share=0.25", no_teacher)
    objective(student, student.model, batch, CPU).backward()
    hidden_BTD, read_BMD = seen
    at_BM = view_of(batch, "masked-lm+share=0.25").at
    assert read_BMD.shape == (4, 2, tiny.CONFIG.dim)
    has_gradient_BT = hidden_BTD.grad.abs().sum(-1) > 0
    assert has_gradient_BT.equal(torch.zeros(4, 8, dtype=torch.bool).scatter(1, at_BM, True))


def trained(loss, *, micro_batches=2, warm=64, steps=4):
    recipe = replace(
        tiny.RECIPE, micro_batches=micro_batches, warm_phase_tokens=warm, grad_clip=1e9
    )
    state = initial_state(tiny.student(), DropPlan(), recipe)
    items = train(
        state, tiny.batch_of, plan=DropPlan(), spec=replace(tiny.SPEC, recipe=recipe, loss=loss),
        world=World.here(), heldout_nll=lambda _: 0.0,
    )  # fmt: skip
    losses = []
    for item in items:
        if isinstance(item, Progress):
            losses.append(item.loss)
            if len(losses) == steps:
                return state, losses
    raise AssertionError


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    momenta = []
    for micro_batches in (1, 2, 4):
        state, _ = trained("masked-lm+share=0.3", micro_batches=micro_batches, warm=0, steps=1)
        momenta.append(state.optimizer.momentum(state.student.model.embedding.weight).clone())
    for momentum in momenta[1:]:
        torch.testing.assert_close(momentum, momenta[0], rtol=1e-5, atol=1e-8)


def test_the_warm_phase_too_trains_on_the_hidden_tokens():
    """Two steps of it and two behind it are as four without one, but for the rate."""
    warm, without = (trained("masked-lm+share=0.3", warm=warm)[1] for warm in (64, 0))
    assert warm[0] == without[0]
    assert warm[0] != trained("lm")[1][0]
    first = Objective.of("masked-lm+share=0.3", no_teacher)
    student = tiny.student()
    assert warm[0] == pytest.approx(
        first(student, student.model, tiny.batch_of(0), CPU).item(), rel=1e-6
    )


def test_a_loss_without_a_view_reads_the_next_tokens():
    for loss in ("lm", "kd"):
        assert load_view(loss) is next_tokens
    view = next_tokens(BATCH)
    assert view.inputs.equal(BATCH.ids[:, :-1])
    assert view.targets.equal(BATCH.ids[:, 1:])
    assert view.at is None


OWN = """
from torch import Tensor
from raydistill.api import Batch, View, cross_entropy

TEACHER = "none"

def view(batch, *, every=2):
    inputs = batch.ids[:, :-1]
    return {given}

def loss(logits_BMV, targets_BM, ask):
    return cross_entropy(logits_BMV.flatten(0, 1), targets_BM.flatten())
"""


def test_a_loss_of_ones_own_says_what_it_reads(own_parts):
    """Every other token, told from its own place."""
    given = (
        "View(inputs=inputs, targets=batch.ids[:, 1:][:, ::every], at=every_other(inputs, every))"
    )
    helper = (
        "import torch\ndef every_other(ids, n):\n"
        "    return torch.arange(0, ids.shape[1], n).expand(len(ids), -1)\n"
    )
    own_parts({"losses/sparse.py": helper + OWN.format(given=given)})
    view, student = view_of(tiny.batch_of(0), "sparse+every=4"), tiny.student()
    assert view.at.tolist() == [[0, 4]] * 4
    value = Objective.of("sparse+every=4", no_teacher)(
        student, student.model, tiny.batch_of(0), CPU
    )
    logits_BTV = student.model(tiny.batch_of(0).ids[:, :-1]).log_softmax(-1)
    told = logits_BTV.gather(-1, tiny.batch_of(0).ids[:, 1:, None])[:, ::4]
    assert value.item() == pytest.approx(-told.mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("inputs, inputs", "gave a tuple, it must be a View"),
        (
            "View(inputs=inputs.float(), targets=inputs)",
            "gave inputs of torch.float32 [4, 8], they",
        ),
        ("View(inputs=inputs, targets=inputs[0])", "gave targets of torch.int64 [8], they must be"),
        ("View(inputs=inputs[:2], targets=inputs)", "gave 2 rows of inputs for 4 windows"),
        (
            "View(inputs=inputs, targets=inputs[:, 1:])",
            "gave targets [4, 7], not as many as inputs",
        ),
        (
            "View(inputs=inputs, targets=inputs, at=inputs[:, 1:])",
            "gave targets [4, 8], not as many as positions",
        ),
        (
            "View(inputs=inputs, targets=inputs, at=inputs * 0 + 8)",
            "gave positions beyond its 8 inputs",
        ),
        (
            "View(inputs=inputs, targets=inputs[:2], at=inputs[:2] * 0)",
            "gave 2 rows of targets for 4 of inputs",
        ),
    ],
)
def test_a_view_that_cannot_be_is_named(own_parts, given, fault):
    own_parts({"losses/odd_view.py": OWN.format(given=given)})
    with pytest.raises(OwnCodeError) as refused:
        view_of(tiny.batch_of(0), "odd-view")
    assert str(refused.value).startswith(f"loss 'odd-view' (losses/odd_view.py): its view {fault}")


def test_it_learns_what_is_hidden():
    """Rows of one token each: what is hidden is what stands beside it."""
    rows = torch.arange(1, 5)[:, None].expand(4, 9).contiguous()
    config = replace(tiny.CONFIG, vocab_size=8)
    recipe = replace(tiny.RECIPE, budget_tokens=32 * 60, warm_phase_tokens=0, peak_lr=3e-3)
    state = initial_state(Student(build(config, 0)), DropPlan(), recipe)

    def batch_of(step):
        return Batch((0, 1, 2, 3), rows, 0, (step,) * 4, 0)

    items = train(
        state, batch_of, plan=DropPlan(), world=World.here(), heldout_nll=lambda _: 0.0,
        spec=replace(tiny.SPEC, recipe=recipe, loss="masked-lm+share=0.25"),
    )  # fmt: skip
    losses = [item.loss for item in items if isinstance(item, Progress)]
    assert losses[0] == pytest.approx(math.log(8), abs=0.3)
    assert sum(losses[-10:]) / 10 < 0.7  # a first token that is hidden has nothing beside it


def test_a_view_moves_with_its_positions():
    view = View(inputs=BATCH.ids, targets=BATCH.ids)
    assert view.to("meta").inputs.device.type == "meta"
    assert view.to("meta").at is None
    assert view_of(BATCH).to("meta").at.device.type == "meta"
