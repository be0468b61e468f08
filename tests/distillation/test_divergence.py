"""The KL to a teacher, complete or in part: value and gradient, padding, vocabularies."""

import pytest
import torch
import torch.nn.functional as F

from raydistill.distillation.answers import SparseAnswer, WholeAnswer, shares
from raydistill.distillation.divergence import SparseTeacher, Weights, distillation_loss, sparse_kl
from raydistill.distillation.loss import load_loss

N, V = 12, 37
TEMPERATURES = [0.5, 1.0, 4.0]
UNPADDED_N = torch.full((N,), 1 / N)


def logits(seed, width=V, requires_grad=False):
    values = 3 * torch.randn(N, width, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(requires_grad)


def plain_kl(student_NV, teacher_NV, temperature):
    student, teacher = ((x / temperature).log_softmax(-1) for x in (student_NV, teacher_NV))
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def value_and_gradient(loss, student_NV):
    student_NV = student_NV.detach().clone().requires_grad_()
    value = loss(student_NV)
    (3 * value).backward()
    return value.detach(), student_NV.grad / 3


def exact_kl(student_NV, teacher_NV, share_N, temperature=1.0, chunk=1000):
    weights = Weights(lm=0.0, kl=1.0, temperature=temperature)
    return distillation_loss(
        student_NV, teacher_NV, torch.zeros(N).long(), share_N, weights, chunk=chunk
    )


TARGETS_N = torch.arange(N) % V


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("chunk", [1, 7, V, 1000])
@pytest.mark.parametrize("teachers_width", [V, V - 5])
def test_both_terms_at_once_are_both_terms(temperature, chunk, teachers_width):
    teacher = logits(1)[:, :teachers_width]

    def plain(student_NV):
        kl = plain_kl(student_NV[:, :teachers_width], teacher, temperature)
        return 0.75 * F.cross_entropy(student_NV, TARGETS_N) + 0.5 * kl

    weights = Weights(lm=0.75, kl=0.5, temperature=temperature)
    fused = value_and_gradient(
        lambda s: distillation_loss(s, teacher, TARGETS_N, UNPADDED_N, weights, chunk=chunk),
        logits(0),
    )
    torch.testing.assert_close(fused, value_and_gradient(plain, logits(0)), rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("chunk", [1, 7, V, 1000])
def test_chunked_equals_unchunked(temperature, chunk):
    expected = value_and_gradient(lambda s: plain_kl(s, logits(1), temperature), logits(0))
    chunked = value_and_gradient(
        lambda s: exact_kl(s, logits(1), UNPADDED_N, temperature=temperature, chunk=chunk),
        logits(0),
    )
    torch.testing.assert_close(chunked, expected, rtol=2e-6, atol=1e-7)


def all_known(teacher_NV, temperature=1.0):
    log_p_NV = (teacher_NV / temperature).log_softmax(-1)
    return SparseTeacher(torch.arange(V).expand(N, V), log_p_NV, log_p_NV.exp(), torch.zeros(N))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("chunk", [7, 1000])
def test_an_excerpt_of_every_id_is_the_whole_teacher(temperature, chunk):
    expected = value_and_gradient(lambda s: plain_kl(s, logits(1), temperature), logits(0))
    chunked = value_and_gradient(
        lambda s: sparse_kl(
            s, all_known(logits(1), temperature), UNPADDED_N,
            temperature=temperature, chunk=chunk,
        ),
        logits(0),
    )  # fmt: skip
    torch.testing.assert_close(chunked, expected, rtol=1e-5, atol=1e-7)


def merged_tail(student_NV, teacher_NV, ids_NS):
    """The same by hand, from probabilities with the unknown ids added up."""
    p, q = (x.softmax(-1).double() for x in (teacher_NV, student_NV))
    known = torch.zeros_like(p, dtype=torch.bool).scatter(-1, ids_NS, True)
    terms = torch.where(known, p * (p / q).log(), 0).sum(-1)
    tail_p, tail_q = (torch.where(known, 0, x).sum(-1) for x in (p, q))
    return (terms + tail_p * (tail_p / tail_q).log()).mean()


def test_the_tail_is_one_bucket_and_padding_repeats_an_id():
    teacher = logits(1)
    log_p_NS, ids_NS = teacher.log_softmax(-1).topk(5)
    tail_N = 1 - log_p_NS.exp().sum(-1)
    padded = [torch.cat([x, x[:, :1]], -1) for x in (ids_NS, log_p_NS)]
    weights_NS = torch.cat([log_p_NS.exp(), torch.zeros(N, 1)], -1)
    expected = value_and_gradient(lambda s: merged_tail(s, teacher, ids_NS).float(), logits(0))
    chunked = value_and_gradient(
        lambda s: sparse_kl(s, SparseTeacher(*padded, weights_NS, tail_N), UNPADDED_N, chunk=7),
        logits(0),
    )
    torch.testing.assert_close(chunked, expected, rtol=1e-4, atol=1e-6)


def test_a_student_that_gives_the_tail_nothing_has_finite_numbers():
    teacher, student = logits(1), logits(0)
    student[:, 0] += 80
    log_p_NS, ids_NS = teacher.log_softmax(-1).topk(5)
    ids_NS[:, 0] = 0
    known = SparseTeacher(ids_NS, log_p_NS, log_p_NS.exp(), 1 - log_p_NS.exp().sum(-1))
    value, gradient = value_and_gradient(lambda s: sparse_kl(s, known, UNPADDED_N), student)
    assert value.isfinite()
    assert gradient.isfinite().all()


def whole():
    return WholeAnswer(logits(1).view(3, 4, V))


def sparse():
    return SparseAnswer(all_known(logits(1)), vocab_size=V)


@pytest.mark.parametrize("answer", [whole, sparse])
def test_padding_neither_counts_nor_learns(answer):
    targets_BT = torch.zeros(3, 4, dtype=torch.long)
    targets_BT[1, 2:] = targets_BT[2] = -100
    valid_N = targets_BT.flatten() != -100
    student = logits(0)
    student[~valid_N] = torch.nan  # whatever the logits are
    value, gradient = value_and_gradient(
        lambda s: answer().kl(s.view(3, 4, V), targets_BT), student
    )
    expected = plain_kl(student[valid_N], logits(1)[valid_N], 1.0)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    assert not gradient[~valid_N].any()
    assert (gradient[valid_N].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("answer", [whole, sparse])
@pytest.mark.parametrize("loss", ["lm", "kd", "minima", "logits-only"])
def test_a_batch_without_a_valid_token_is_zero(answer, loss):
    targets_BT = torch.full((3, 4), -100)
    value, gradient = value_and_gradient(
        lambda s: load_loss(loss)(s.view(3, 4, V), targets_BT, answer), logits(0)
    )
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize(("student_width", "teacher_width"), [(V, V + 3), (V + 3, V), (V, V)])
def test_padded_vocabularies_are_cut_to_the_shared_ids(student_width, teacher_width):
    teacher = logits(1, teacher_width)
    value, gradient = value_and_gradient(
        lambda s: exact_kl(s, teacher, UNPADDED_N, chunk=7), logits(0, student_width)
    )
    expected = plain_kl(logits(0, student_width)[:, :V], teacher[:, :V], 1.0)
    torch.testing.assert_close(value, expected)
    assert not gradient[:, V:].any()


def test_a_written_teacher_is_refused_at_another_temperature_or_vocabulary():
    targets_BT = torch.zeros(3, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"at temperature 1.0, the loss asks for 2.0"):
        sparse().kl(logits(0).view(3, 4, V), targets_BT, 2.0)
    with pytest.raises(ValueError, match="over 37 ids, the student has 36"):
        sparse().kl(logits(0, V - 1).view(3, 4, V - 1), targets_BT)


def test_half_precision_logits_keep_a_float32_kl():
    student, teacher = logits(0).bfloat16(), logits(1).bfloat16()
    value, gradient = value_and_gradient(lambda s: exact_kl(s, teacher, UNPADDED_N), student)
    torch.testing.assert_close(value, plain_kl(student.float(), teacher.float(), 1.0))
    assert gradient.dtype == torch.bfloat16


def test_shares_are_those_of_the_valid_tokens():
    assert shares(torch.tensor([[3, -100], [0, 9]])).tolist() == pytest.approx(
        [1 / 3, 0, 1 / 3, 1 / 3]
    )
