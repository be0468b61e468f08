"""Whether size matters once the teacher's loss is known, by predicting a teacher left out."""

import numpy as np
import pytest

from raydistill.laws.capacity_gap.size_or_loss import TeacherGrid, size_or_loss

SIZES = np.repeat([1e5, 2e5, 4e5, 8e5, 1.6e6], 3)
AGE = np.tile([0.0, 1.0, 2.0], 5)
TEACHER = 2.0 + 40 / SIZES**0.3 - 0.15 * AGE


def grid(of_size, noise=0.002, seed=0, keep=slice(None)):
    """Three students whose loss is a curve of the teacher's loss, and of its size as much more."""
    random = np.random.default_rng(seed)
    students = np.array([3.2, 3.1, 3.0])
    best = np.array([3.2, 2.9, 2.6])
    losses = students[:, None] + 0.1 * (TEACHER - best[:, None]) ** 2
    losses = losses + of_size * np.log(SIZES / 1e5) + noise * random.standard_normal(losses.shape)
    return TeacherGrid(
        losses_Mn=losses[:, keep], teacher_losses_n=TEACHER[keep], teacher_sizes_n=SIZES[keep]
    )


def test_a_loss_that_says_all_leaves_nothing_to_size():
    result = size_or_loss(grid(0.0))
    assert result.answer in ("loss is enough", "not told apart")
    assert result.by_loss == pytest.approx(0.002, abs=0.001)


def test_a_size_that_matters_is_found():
    result = size_or_loss(grid(0.05))
    assert result.answer == "size matters too"
    assert result.with_size < result.by_loss / 2
    assert result.teachers == 15


def test_size_is_rarely_found_where_there_is_none():
    answers = [size_or_loss(grid(0.0, seed=seed)).answer for seed in range(100)]
    assert answers.count("size matters too") <= 8


@pytest.mark.parametrize("keep", [slice(0, 6), slice(0, 15, 3), slice(0, 5)])
def test_two_sizes_or_one_age_cannot_tell(keep):
    assert size_or_loss(grid(0.05, keep=keep)) is None


def test_order_and_units_do_not_matter():
    plain, of = grid(0.02), size_or_loss(grid(0.02))
    order = np.random.default_rng(1).permutation(15)
    other = size_or_loss(
        TeacherGrid(
            losses_Mn=plain.losses_Mn[:, order],
            teacher_losses_n=plain.teacher_losses_n[order],
            teacher_sizes_n=plain.teacher_sizes_n[order] / 1e6,
        )
    )
    assert (other.by_loss, other.with_size) == pytest.approx((of.by_loss, of.with_size), rel=1e-9)
    assert other.gain == pytest.approx(of.gain, rel=1e-9)
