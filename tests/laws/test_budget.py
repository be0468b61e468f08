"""Which teacher under a budget: the tokens that are left, the choice, and where it changes."""

import math

import numpy as np
import pytest

from raydistill.laws.distillation.answers import FittedLaw
from raydistill.laws.distillation.budget import (
    EXISTING,
    Budget,
    Teacher,
    crossovers,
    distillation_flops,
    options,
    share_that_pays,
)
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.laws.published import STUDENT_SURFACE

SMALL = Teacher(name="small", params=2e9, loss=2.2, tokens=4e10)
LARGE = Teacher(name="large", params=8e9, loss=2.0, tokens=2e11)


def loss_of(tokens, teacher):
    """Alone a student needs many tokens; a teacher gives a better end, or rather a floor."""
    if teacher is None:
        return 1.9 + (1e9 / tokens) ** 0.25
    return teacher.loss + (1e7 / tokens) ** 0.25


def test_the_rule_by_hand():
    assert distillation_flops(1e9, 1e10, None) == 6e19
    assert distillation_flops(1e9, 1e10, SMALL, share=2) == 6e19 + 4e19 + 6 * 2e9 * 4e10 / 2
    assert distillation_flops(1e9, 1e10, SMALL, share=EXISTING) == 6e19 + 4e19


@pytest.mark.parametrize("teacher", [None, SMALL, LARGE])
@pytest.mark.parametrize("share", [1, 4, EXISTING])
def test_what_is_left_for_the_student_spends_the_budget_to_the_last(teacher, share):
    budget = Budget(flops=1e22, student_params=1e9, share=share)
    tokens = budget.student_tokens(teacher)
    assert distillation_flops(1e9, tokens, teacher, share) == pytest.approx(1e22)


def test_a_teacher_that_takes_the_whole_budget_is_no_option():
    budget = Budget(flops=1e21, student_params=1e9)
    assert budget.student_tokens(LARGE) == 0
    assert options(budget, [LARGE, None], loss_of)[-1].loss == math.inf


def test_a_teacher_wins_between_two_crossovers():
    """Too dear below, a floor above: none wins at both ends."""
    budget, candidates = Budget(flops=1e19, student_params=1e9, share=100), [SMALL, None]
    low, high = crossovers(budget, candidates, loss_of, lowest=1e17, highest=1e22)
    assert (low.below, low.above, high.above) == (None, SMALL, None)
    for crossover in (low, high):
        for factor, winner in ((0.999, crossover.below), (1.001, crossover.above)):
            near = Budget(flops=crossover.flops * factor, student_params=1e9, share=100)
            assert options(near, candidates, loss_of)[0].candidate == winner


def test_sharing_flips_the_verdict():
    budget, candidates = Budget(flops=2e19, student_params=1e9), [SMALL, LARGE, None]
    fewest = share_that_pays(budget, candidates, loss_of)
    assert fewest > 1
    for share, pays in ((fewest - 1, False), (fewest, True), (100 * fewest, True)):
        shared = Budget(flops=2e19, student_params=1e9, share=share)
        assert (options(shared, candidates, loss_of)[0].candidate is not None) == pays


def test_no_number_of_students_makes_a_poor_teacher_pay():
    poor = Teacher(name="poor", params=1e9, loss=3.5, tokens=1e9)
    budget = Budget(flops=1e22, student_params=1e9)
    assert share_that_pays(budget, [poor, None], loss_of) is None


def test_a_student_alone_that_is_not_determined_leaves_its_teacher_undetermined():
    """Six runs of a surface with five parameters: below their sizes it may be any height."""
    sizes, tokens = np.repeat([1e8, 4e8, 1.6e9], 2), np.tile([1e9, 1e11], 3)
    noise = np.random.default_rng(3).normal(size=6)
    alone = Points(
        inputs={"params": sizes, "tokens": tokens},
        outputs=STUDENT_SURFACE.loss(sizes, tokens) * np.exp(0.02 * noise),
        names=tuple("abcdef"),
    )
    losses = np.array([1.9, 2.1, 2.3, 2.6, 2.8])
    taught = Points(
        inputs={"teacher_loss": losses, "student_alone": np.full(5, 2.4)},
        outputs=losses + np.array([0.5, 0.35, 0.25, 0.15, 0.12]),
        names=tuple("vwxyz"),
    )
    law = FittedLaw(gap=fit("distillation", taught), surface=fit("chinchilla", alone))
    assert not np.isfinite(law.surface.predict({"params": 4e7, "tokens": 1e10}).interval).all()
    low, high = law.answer(4e7, 1e10, SMALL, far=True).prediction.interval
    assert not (np.isfinite(low) and np.isfinite(high))
