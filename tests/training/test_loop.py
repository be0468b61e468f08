"""The one loop: when blocks leave, what is trained, and how it stops."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from raydistill.data.batches import Batch
from raydistill.models.distributed import World
from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.trial import DropPlan
from raydistill.training.loop import initial_state, train
from support import tiny


def run(student, plan, spec=tiny.SPEC, heldout_nll=lambda model: float(len(model.blocks))):
    state = initial_state(student, plan, spec.recipe)
    items = train(
        state, tiny.batch_of, plan=plan, spec=spec, world=World.here(), heldout_nll=heldout_nll
    )
    return state, items


@pytest.mark.parametrize(
    ("gap", "depths"),
    [
        (0, [6, 6, 4, 4, 4, 4, 4, 4, 4, 4]),
        (32, [6, 6, 5, 4, 4, 4, 4, 4, 4, 4]),
        (64, [6, 6, 5, 5, 4, 4, 4, 4, 4, 4]),
    ],
)
def test_blocks_leave_when_the_plan_says(gap, depths):
    _, items = run(tiny.student(), tiny.plan(1, 2, gap=gap))
    assert [item.num_layers for item in items if isinstance(item, Progress)] == depths


def test_heldout_is_measured_right_after_the_cut_and_at_the_shares_of_the_budget():
    _, items = run(tiny.student(), tiny.plan(1, 2))
    points = [item for item in items if isinstance(item, HeldoutPoint)]
    # 8 steps of budget: 5 % rounds to the step of 0 %, 10 % to the first.
    assert [p.tokens for p in points] == [64, 96, 128, 192, 320]
    assert [p.nll for p in points] == [4, 4, 4, 4, 4]


def test_layers_that_will_leave_are_frozen_from_the_start_without_gradient_or_momentum():
    student = tiny.student()
    doomed = student.model.blocks[1].fused_in.weight
    before = doomed.detach().clone()
    state, items = run(student, tiny.plan(1, start=192))
    for item in items:
        if isinstance(item, Progress) and item.tokens == 192:
            assert torch.equal(doomed, before)
    assert doomed.grad is None
    assert doomed not in state.optimizer.state
    assert len(state.optimizer.state) == len(student.named_parameters())


def test_momentum_survives_a_cut():
    student = tiny.student()
    state, items = run(student, tiny.plan(1))
    momenta = []
    for item in items:
        if item.tokens == 64:
            momenta.append(state.optimizer.momentum(student.model.embedding.weight).clone())
    assert torch.equal(momenta[0], momenta[1])  # the last step before, and the cut
    assert momenta[0].abs().sum() > 0


def test_a_run_is_stopped_by_not_iterating_further():
    state, items = run(tiny.student(), DropPlan())
    while state.step < 3:
        next(items)
    items.close()
    assert state.step == 3


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    """The first momentum is (1 − β₂) times the gradient, whatever the micro-batches."""
    momenta = []
    for micro_batches in (1, 2, 4):
        recipe = replace(tiny.RECIPE, micro_batches=micro_batches, grad_clip=1e9)
        student = tiny.student()
        state, items = run(student, DropPlan(), replace(tiny.SPEC, recipe=recipe))
        next(items)
        momenta.append(state.optimizer.momentum(student.model.embedding.weight).clone())
    torch.testing.assert_close(momenta[0], momenta[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(momenta[0], momenta[2], rtol=1e-5, atol=1e-8)


def test_the_gradient_is_clipped_to_its_norm():
    norms = []
    for clip in (1e9, 0.5):
        recipe = replace(tiny.RECIPE, grad_clip=clip)
        state, items = run(tiny.student(), DropPlan(), replace(tiny.SPEC, recipe=recipe))
        next(items)
        momenta = [slots["momentum"] for slots in state.optimizer.state.values()]
        norms.append(torch.stack([m.norm() for m in momenta]).norm().item() / (1 - 0.95))
    assert norms[0] > 0.5
    assert norms[1] == pytest.approx(0.5, rel=1e-4)


def test_it_learns():
    recipe = replace(tiny.RECIPE, budget_tokens=6400, peak_lr=3e-3)
    always = Batch((0, 0, 0, 0), torch.arange(9).repeat(4, 1), 0, (0, 1, 2, 3), 0)
    state = initial_state(tiny.student(), DropPlan(), recipe)
    steps = train(
        state, lambda _: always, plan=DropPlan(), spec=replace(tiny.SPEC, recipe=recipe),
        world=World.here(), heldout_nll=lambda _: 0.0,
    )  # fmt: skip
    losses = [item.loss for item in steps if isinstance(item, Progress)]
    assert losses[0] > 3
    assert losses[-1] < 0.5


def test_a_loss_that_is_not_finite_stops_the_trial():
    student = tiny.student()
    student.model.embedding.weight.data[0] = float("nan")
    _, items = run(student, DropPlan())
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        list(items)


def test_a_loss_of_ones_own_that_is_not_finite_is_named_with_its_file(own_parts):
    own_parts(
        {
            "losses/root.py": """
                TEACHER = "none"
                def loss(logits_BTV, targets_BT, ask, *, shift=0.0):
                    return (shift - logits_BTV.float().square().mean()).sqrt()
            """
        }
    )
    _, items = run(tiny.student(), DropPlan(), replace(tiny.SPEC, loss="root+shift=-1"))
    with pytest.raises(FloatingPointError) as error:
        list(items)
    assert (
        str(error.value) == "loss 'root' (losses/root.py) is nan at step 2"
    )  # after the warm phase


def test_the_core_never_loads_ray_or_mlflow():
    code = (
        "import raydistill.training.loop, raydistill.planning.sweep, sys;"
        "print({'ray', 'mlflow', 'optuna', 'lm_eval', 'datasets'} & set(sys.modules) or 'clean')"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "clean"
