"""Agreement with the paper and contradictions, in words."""

import dataclasses

import pytest

from raydistill.core.units import B
from raydistill.reports.results.agreement import (
    FREE,
    KD,
    how_many,
    removal,
    teacher_or_not,
    wait_or_not,
)
from raydistill.reports.results.blocks import row_blocks
from support.reported import DELTA_NLL, FAILURE, LATE, YOUNG, cell, documents


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


def test_arms_are_compared_at_one_location():
    def at(location, sample):
        return dataclasses.replace(
            sample, location=location, values={**sample.values, "location": location}
        )

    arms = [at("input", as_arm(LEAST_CUT, FREE)), at("input", as_arm(MOST, KD))]
    arms += [at("output", as_arm(MOST, FREE)), at("output", as_arm(LEAST_CUT, KD))]
    one, other = teacher_or_not(rows(arms))
    assert one.startswith("teacher-free, input: As in the paper (Table 3")
    assert other.startswith("teacher-free, output: Unlike the paper (Table 3")


def test_an_arm_that_failed_is_compared_with_nothing():
    failed = dataclasses.replace(as_arm(LEAST_CUT, "teacher-free"), outcome=FAILURE)
    assert teacher_or_not(rows([failed, as_arm(MOST, "kd")])) == ()


def test_arms_with_the_same_scores_are_not_told_apart():
    same = as_arm(LEAST_CUT, "teacher-free"), as_arm(LEAST_CUT, "kd")
    (sentence,) = teacher_or_not(rows(same))
    assert sentence.startswith("Neither for nor against the paper (Table 3")
    assert "the two are not told apart at equal tokens (KD minus teacher-free +0.000 [0" in sentence


@pytest.mark.parametrize(
    ("at_once", "waited", "begin", "side"),
    [
        (LEAST_CUT, MOST, "As in", "above it gap 2.048K"),
        (MOST, LEAST_CUT, "Unlike", "below it gap 2.048K"),
        (MOST, MOST, "Neither for nor against", "not told apart from it gap 2.048K"),
    ],
)
def test_figure_1_is_confirmed_or_contradicted(at_once, waited, begin, side):
    (sentence,) = wait_or_not(rows([as_gap(at_once, 0), as_gap(waited, 2048)]))
    assert sentence.startswith(f"{begin} the paper (Figure 1: waiting does not help)")
    assert side in sentence


def test_nothing_is_said_of_waiting_where_no_gap_was_finished():
    failed = dataclasses.replace(as_gap(MOST, 2048), outcome=FAILURE)
    assert wait_or_not(rows([as_gap(LEAST_CUT, 0), failed])) == ()
    assert wait_or_not(rows([as_gap(LEAST_CUT, 0)])) == ()


def removed(count, delta_nll, start=LATE, *, size="laptop", location="input"):
    split = documents(start.scores.nll + delta_nll, 0.7, 1)
    sample = cell("input", start)
    sample = dataclasses.replace(
        sample,
        scale=size,
        location=location,
        layers=tuple(range(count)),
        num_params=sample.num_params // (1 + (size == "small")),
        values={"age": start.age, "count": count, "location": location},
        outcome=dataclasses.replace(sample.outcome, documents=split),
    )
    (row,) = rows([sample])
    return removal(f"{count} at {start.age // B}B {size}", row, start, delta_nll)


def test_figure_3_has_three_claims():
    lost = ((4, 0.1, YOUNG), (8, 0.3, YOUNG), (4, 0.3, LATE), (8, 0.7, LATE))
    removals = [removed(*of_row) for of_row in lost]
    removals += [removed(4, 0.4, size="small"), removed(8, 0.6, size="small")]
    counts, ages, sizes = how_many(removals)
    assert counts == (
        "As in the paper (Figure 3: more layers cost more). Neighbouring pairs by delta_nll "
        "(paired bootstrap, Holm, 5 %): 3 of 3 agree."
    )
    assert ages.startswith("As in the paper (Figure 3: the older base loses more)")
    assert ages.endswith(": 2 of 2 agree.")
    assert sizes.startswith("Partly as in, partly unlike the paper (Figure 3: the larger model")
    contradiction = "8 at 320B laptop and 8 at 320B small"
    assert sizes.endswith(f"1 of 2 agree, 1 of 2 contradict it ({contradiction}).")


def test_a_pair_that_is_not_told_apart_agrees_with_nothing():
    assert how_many([removed(4, 0.3), removed(8, 0.3)]) == (
        "Neither for nor against the paper (Figure 3: more layers cost more). Neighbouring pairs "
        "by delta_nll (paired bootstrap, Holm, 5 %): 1 of 1 are not told apart.",
    )


def test_rows_that_differ_in_more_than_the_count_are_no_neighbours():
    assert how_many([removed(4, 0.3), removed(8, 0.7, location="output")]) == ()


def test_one_count_says_nothing_of_figure_3():
    assert how_many([removed(4, 0.3), removed(4, 0.2, YOUNG)]) == ()
