"""Agreement with the paper and contradictions, in words."""

import dataclasses

import pytest

from raydistill.core.units import B
from raydistill.reports.results.agreement import Removal, how_many, teacher_or_not, wait_or_not
from raydistill.reports.results.blocks import row_blocks
from support.reported import DELTA_NLL, FAILURE, cell

SMALL, LARGE = 300, 1_000


def rows(cells):
    (block,) = row_blocks(cells)
    return block.rows


def as_arm(location, arm):
    sample = cell(location)
    return dataclasses.replace(sample, values={**sample.values, "arm": arm})


def as_gap(location, gap):
    sample = cell(location)
    return dataclasses.replace(
        sample, location="input", layers=cell("input").layers, gap_tokens=gap,
        values={**sample.values, "location": "input", "gap": gap},
    )  # fmt: skip


LEAST, MOST = (choose(DELTA_NLL, key=DELTA_NLL.get) for choose in (min, max))
LEAST_CUT = min((k for k in DELTA_NLL if k != "none"), key=DELTA_NLL.get)


@pytest.mark.parametrize(
    ("free", "kd", "verdict"), [(LEAST_CUT, MOST, "As in"), (MOST, LEAST_CUT, "Unlike")]
)
def test_table_3_is_confirmed_or_contradicted(free, kd, verdict):
    sentences = teacher_or_not(rows([as_arm(free, "teacher-free"), as_arm(kd, "kd")]))
    assert sentences[0].startswith(f"{verdict} the paper (Table 3, 300M-320B: perplexity 24.76")
    lower = {"As in": "teacher-free ends below KD", "Unlike": "KD ends below teacher-free"}
    assert lower[verdict] in sentences[0]


def test_equal_flops_have_a_sentence_of_their_own():
    arms = [as_arm(LEAST_CUT, "teacher-free"), as_arm(MOST, "kd-equal-flops")]
    (sentence,) = teacher_or_not(rows(arms))
    assert "teacher-free ends below KD at equal FLOPs" in sentence


def test_an_arm_that_failed_is_compared_with_nothing():
    failed = dataclasses.replace(as_arm(LEAST_CUT, "teacher-free"), outcome=FAILURE)
    assert teacher_or_not(rows([failed, as_arm(MOST, "kd")])) == ()


@pytest.mark.parametrize(
    ("at_once", "waited", "sentence"),
    [(LEAST_CUT, MOST, "As in the paper (Figure 1), no gap"), (MOST, LEAST_CUT, "waiting helps")],
)
def test_figure_1_is_confirmed_or_contradicted(at_once, waited, sentence):
    assert sentence in wait_or_not(rows([as_gap(at_once, 0), as_gap(waited, 1024)]))[0]


def removal(count, delta_nll, *, age=320 * B, size=LARGE):
    return Removal(
        name=f"{size}, {age // B}B, {count}", scale=str(size), num_params=size, age=age,
        count=count, delta_nll=delta_nll,
    )  # fmt: skip


def test_figure_3_has_three_claims():
    sentences = how_many(
        [
            removal(4, 0.3), removal(8, 0.7), removal(4, 0.1, age=80 * B),
            removal(8, 0.3, age=80 * B), removal(4, 0.4, size=SMALL), removal(8, 0.6, size=SMALL),
        ]
    )  # fmt: skip
    assert sentences[0].startswith("As in the paper (Figure 3), more layers cost more: 3 of 3")
    assert sentences[1].startswith("As in the paper (Figure 3), the older base loses more: 2 of 2")
    assert sentences[2].startswith(
        "Unlike the paper (Figure 3), the larger model loses less: 1 of 2"
    )
    assert sentences[2].endswith("not at 300, 320B, 8.")


def test_one_count_says_nothing_of_figure_3():
    assert how_many([removal(4, 0.3), removal(4, 0.2, age=80 * B)]) == ()
