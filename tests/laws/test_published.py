"""Golden: what the published constants that are confirmed say."""

import numpy as np
import pytest

from raydistill.laws.distillation.teacher_gap import relative_gap
from raydistill.laws.published import CAPACITY_GAP, STUDENT_SURFACE, TEACHER_GAP


def test_the_line_of_the_capacity_gap():
    assert CAPACITY_GAP.teacher_params(3000e6) / 1e6 == pytest.approx(7482.5, abs=0.05)
    assert CAPACITY_GAP.teacher_params(100e6) / 1e6 == pytest.approx(238.3, abs=0.05)
    assert CAPACITY_GAP.student_params(6738.416e6) / 1e6 == pytest.approx(2702.13, abs=0.005)


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [
        (143e6, 4e9, 2.8383),
        (546e6, 20e9, 2.4478),
        (1.82e9, 38.9e9, 2.2446),
        (7.75e9, 512e9, 1.9329),
    ],
)
def test_what_a_student_reaches_alone(params, tokens, loss):
    assert STUDENT_SURFACE.loss(params, tokens) == pytest.approx(loss, abs=5e-5)
    assert STUDENT_SURFACE.tokens_for(params, loss) == pytest.approx(tokens, rel=2e-3)


def test_a_loss_that_a_size_never_reaches_takes_forever():
    assert STUDENT_SURFACE.tokens_for(143e6, 1.9) == np.inf
    assert STUDENT_SURFACE.tokens_for(143e6, 1.2) == np.inf


def test_the_gap_follows_the_teachers_loss_in_both_directions():
    """A better teacher helps until it is too good: the student's loss has a minimum."""
    losses = np.linspace(1.3, 3.0, 200)
    student = TEACHER_GAP.student_loss(546e6, 20e9, losses, 2.4478)
    lowest = int(student.argmin())
    assert 0 < lowest < 199
    assert student[0] > student[lowest] < student[-1]


def test_the_gap_is_the_plain_formula_and_does_not_overflow():
    teacher, alone = np.array([2.0, 2.5]), np.array([2.4, 2.4])
    c0, c1, f1, d1 = 2.5, 30.0, 0.2, 1.3
    plain = teacher**-c0 * (1 + (teacher / (alone * d1)) ** (1 / f1)) ** (-c1 * f1)
    np.testing.assert_allclose(relative_gap(teacher, alone, c0, c1, f1, d1), plain)
    assert np.isfinite(relative_gap(np.array([9.0]), np.array([1.0]), 2.0, 1e4, 1e-4, 1.0)).all()
