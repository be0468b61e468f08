"""Excerpts of a teacher: which are unbiased, which are not, and by how much."""

import pytest
import torch

from raydistill.core.parts import EXCERPT, part_names
from raydistill.distillation.answers import SparseAnswer, WholeAnswer
from raydistill.distillation.excerpt import load_form
from raydistill.distillation.teacher_placement import layout_of

N, V = 6, 40
FORMS = part_names(EXCERPT)
UNBIASED = ["sampled", "threshold"]
TARGETS = torch.zeros(1, N, dtype=torch.long)


def logits(seed):
    return 2 * torch.randn(N, V, generator=torch.Generator().manual_seed(seed))


def rng():
    return torch.Generator().manual_seed(0)


def known(name, size):
    form = load_form(name)
    return form.known(form.take(logits(1).log_softmax(-1), size, rng()), size)


def dense(teacher):
    """The weights of all ids, [N, V]."""
    return torch.zeros(N, V).scatter_add(-1, teacher.ids, teacher.weights)


def gradient(answer, student_NV):
    student_NV = student_NV.clone().requires_grad_()
    value = answer.kl(student_NV[None], TARGETS)
    value.backward()
    return value.item(), student_NV.grad


def exact(student_NV):
    return gradient(WholeAnswer(logits(1)[None]), student_NV)


def test_the_forms_are_these():
    assert FORMS == ["sampled", "threshold", "top-k", "top-k-tail"]


@pytest.mark.parametrize("name", FORMS)
def test_weights_and_tail_are_a_distribution_over_different_ids(name):
    teacher = known(name, 7)
    torch.testing.assert_close(teacher.weights.sum(-1) + teacher.tail, torch.ones(N))
    occurrences = torch.zeros(N, V).scatter_add(-1, teacher.ids, (teacher.weights > 0).float())
    assert occurrences.max() == 1


@pytest.mark.parametrize("name", FORMS)
def test_an_excerpt_has_what_its_form_says(name):
    form = load_form(name)
    excerpt = form.take(logits(1).log_softmax(-1), 7, rng())
    assert (excerpt.counts is not None, excerpt.scalar is not None) == (form.counts, form.scalar)
    assert form.counts or excerpt.ids.shape == (N, 7)


@pytest.mark.parametrize("name", sorted({*FORMS} - {"sampled"}))
def test_all_ids_are_the_whole_teacher(name):
    sparse = gradient(SparseAnswer(known(name, V), V), logits(0))
    torch.testing.assert_close(sparse, exact(logits(0)), rtol=1e-4, atol=1e-6)


def repeated(name, times, size=5):
    """The weights of all ids, [times, N, V], of as many independent excerpts."""
    form = load_form(name)
    many = form.known(form.take(logits(1).log_softmax(-1).repeat(times, 1), size, rng()), size)
    weights = torch.zeros(times * N, V).scatter_add(-1, many.ids, many.weights)
    return weights.view(times, N, V)


@pytest.mark.parametrize("name", UNBIASED)
def test_an_unbiased_excerpt_is_exact_on_average(name):
    """No weight has a variance above p/size."""
    p_NV, times, size = logits(1).softmax(-1), 20_000, 5
    error = repeated(name, times, size).mean(0) - p_NV
    assert (error.abs() <= 5 * (p_NV / (size * times)).sqrt()).all()


def test_the_threshold_spends_its_ids_better_than_plain_draws():
    spread = {name: repeated(name, 500).var(0).sum() for name in UNBIASED}
    assert spread["threshold"] < spread["sampled"] / 2


def test_the_threshold_keeps_likely_ids_as_they_are():
    teacher, p_NV = known("threshold", 10), logits(1).softmax(-1)
    likeliest_N1, ids_N1 = p_NV.max(-1, keepdim=True)
    torch.testing.assert_close(dense(teacher).gather(-1, ids_N1), likeliest_N1)


def test_a_student_equal_to_the_teacher_learns_from_plain_top_k_to_be_surer():
    """The known mistake; with the tail as a bucket there is nothing to learn."""
    value, biased = gradient(SparseAnswer(known("top-k", 5), V), logits(1))
    assert value > 0.1
    assert biased.norm() > 0.05
    value, unbiased = gradient(SparseAnswer(known("top-k-tail", 5), V), logits(1))
    assert value == pytest.approx(0, abs=1e-6)
    assert unbiased.norm() < 1e-6


def test_a_tail_in_one_bucket_never_overstates_the_kl():
    values = [gradient(SparseAnswer(known("top-k-tail", k), V), logits(0))[0] for k in (1, 5, 20)]
    assert values == sorted(values)
    assert values[-1] <= exact(logits(0))[0]


def test_bytes_are_those_of_ids_probabilities_counts_and_scalars():
    sizes = {name: load_form(name).layout.bytes_per_token(300, 2_048) for name in FORMS}
    assert sizes == {
        "top-k": 1200, "top-k-tail": 1202, "threshold": 1202, "sampled": 300 * 6 + 2,
    }  # fmt: skip
    assert layout_of("top-k").bytes_per_token(300, 150_000) == 1800
    assert layout_of("threshold").bytes_per_token(300, 100) == 402


@pytest.mark.parametrize("name", FORMS)
def test_a_plan_knows_without_torch_what_a_form_takes_on_disk(name):
    assert layout_of(name) == load_form(name).layout


def test_a_user_s_own_form_is_priced_at_the_most_that_any_may_take():
    mine, largest = (layout_of(n).bytes_per_token(300, 2_048) for n in ("mine", "sampled"))
    assert mine == largest + 2
